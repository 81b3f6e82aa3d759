/* What Rust sees of libubus: opaque pointers, plain functions and bytes. Every struct of libubus stays in shim.c, which the target's own
 * headers lay out. Declarations for Rust: sys/bindings.rs, made from this file by bindgen.
 *
 * Nothing here may be called by two threads. Functions that give an int give a status of ubus (enum ubus_msg_status), 0 is success; those
 * that ask ubusd wait for its answer without any limit. "data" are attributes of a blobmsg table as they follow each other in a message. */
#ifndef L3ROAMD_UBUS_SHIM_H
#define L3ROAMD_UBUS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connection to ubusd. */
struct l3_bus;

/* A call from outside that is not answered yet. */
struct l3_request;

/* An argument of a method: its name and its type (enum blobmsg_type). */
struct l3_argument {
	const char *name;
	uint32_t type;
};

/* A method. */
struct l3_method {
	const char *name;
	const struct l3_argument *arguments;
	size_t count;
};

/* What is told, from inside the functions below. The first argument is the owner that was given to l3_bus_connect. Bytes and texts are
 * valid during the call. None of them may call back. */
struct l3_callbacks {
	/* A method is called. The request belongs to the callee. */
	void (*called)(void *owner, struct l3_request *request, size_t method, const void *data, size_t length);
	/* Our object has subscribers, or none any more. */
	void (*subscribed)(void *owner, bool subscribed);
	/* The object of a subscription notifies. It is answered with success. */
	void (*notified)(void *owner, uint32_t subscription, const char *name, const void *data, size_t length);
	/* The object of a subscription has gone. */
	void (*unsubscribed)(void *owner, uint32_t subscription);
	/* An event of ubusd. */
	void (*event)(void *owner, const char *name, const void *data, size_t length);
	/* A call of ours is answered. */
	void (*replied)(void *owner, uint32_t key, int status, const void *data, size_t length);
	/* An object that l3_bus_lookup has found. */
	void (*found)(void *owner, uint32_t object, const char *path);
};

/* Connects; NULL where that fails. The dispositions of signals are as before, afterwards. path NULL: where ubusd usually listens. */
struct l3_bus *l3_bus_connect(const char *path, const struct l3_callbacks *callbacks, void *owner);

/* Disconnects. Tells nothing any more. */
void l3_bus_free(struct l3_bus *bus);

/* The socket, to be polled for reading, level-triggered. */
int l3_bus_fd(const struct l3_bus *bus);

/* Whether the connection is lost. It stays so. */
bool l3_bus_is_lost(const struct l3_bus *bus);

/* Works off messages that have come, at least one. */
void l3_bus_work(struct l3_bus *bus);

/* Puts our object on the bus, once. All names must stay where they are until l3_bus_free; the arrays need not. */
int l3_bus_offer(struct l3_bus *bus, const char *name, const struct l3_method *methods, size_t count);

/* Asks for events of this name. */
int l3_bus_listen(struct l3_bus *bus, const char *event);

/* Tells of all objects with this path, or with this beginning of a path followed by a star. */
int l3_bus_lookup(struct l3_bus *bus, const char *path);

/* Subscribes to an object, and ends that. */
int l3_bus_subscribe(struct l3_bus *bus, uint32_t object, uint32_t *subscription);
void l3_bus_unsubscribe(struct l3_bus *bus, uint32_t subscription);

/* Sends a call, whose reply will be told with this key; and forgets it. */
int l3_bus_call(struct l3_bus *bus, uint32_t key, uint32_t object, const char *method, const void *data, size_t length);
void l3_bus_abandon(struct l3_bus *bus, uint32_t key);

/* Answers a call: with data where the status is success. Takes the request. */
void l3_bus_answer(struct l3_bus *bus, struct l3_request *request, int status, const void *data, size_t length);

/* Gives up a request of a connection that is lost. */
void l3_request_free(struct l3_request *request);

/* Tells the subscribers of our object; waits for none of them. */
void l3_bus_notify(struct l3_bus *bus, const char *name, const void *data, size_t length);

#endif
