/* The part of libubus that the shim names, with other structs than the real one has: whoever knows their layout by heart fails here.
 * Own code for tests. */
#ifndef FAKE_LIBUBUS_H
#define FAKE_LIBUBUS_H
#include <libubox/blob.h>

enum {
	UBUS_STATUS_OK,
	UBUS_STATUS_INVALID_ARGUMENT = 2,
	UBUS_STATUS_METHOD_NOT_FOUND = 3,
	UBUS_STATUS_NOT_FOUND = 4,
	UBUS_STATUS_NO_DATA = 5,
	UBUS_STATUS_TIMEOUT = 7,
	UBUS_STATUS_UNKNOWN_ERROR = 9,
	UBUS_STATUS_CONNECTION_FAILED = 10,
};

enum blobmsg_type { BLOBMSG_TYPE_UNSPEC, BLOBMSG_TYPE_LAST = 8 };

struct ubus_context;
struct ubus_object;
struct ubus_subscriber;
struct ubus_event_handler;

struct blobmsg_policy {
	enum blobmsg_type type;
	const char *name;
};

struct ubus_request_data {
	bool deferred;
	uint16_t seq;
	uint32_t object;
	uint32_t peer;
};

typedef int (*ubus_handler_t)(struct ubus_context *, struct ubus_object *, struct ubus_request_data *, const char *,
			      struct blob_attr *);

struct ubus_method {
	ubus_handler_t handler;
	const char *name;
	int n_policy;
	const struct blobmsg_policy *policy;
};

struct ubus_object_type {
	const struct ubus_method *methods;
	int n_methods;
	const char *name;
};

enum fake_kind { FAKE_OBJECT, FAKE_SUBSCRIBER, FAKE_EVENTS };

struct ubus_object {
	struct ubus_object *next;
	enum fake_kind kind;
	bool has_subscribers;
	int n_methods;
	const struct ubus_method *methods;
	void (*subscribe_cb)(struct ubus_context *, struct ubus_object *);
	struct ubus_object_type *type;
	uint32_t id;
	const char *name;
};

struct ubus_subscriber {
	ubus_handler_t cb;
	void (*remove_cb)(struct ubus_context *, struct ubus_subscriber *, uint32_t);
	struct ubus_object obj;
};

struct ubus_event_handler {
	void (*cb)(struct ubus_context *, struct ubus_event_handler *, const char *, struct blob_attr *);
	struct ubus_object obj;
};

struct ubus_object_data {
	const char *path;
	uint32_t id;
};

struct ubus_request {
	void (*complete_cb)(struct ubus_request *, int);
	void (*data_cb)(struct ubus_request *, int, struct blob_attr *);
	struct ubus_request *next;
	uint32_t peer;
	uint16_t seq;
};

struct fake_message;

struct ubus_context {
	void (*connection_lost)(struct ubus_context *);
	struct {
		bool eof;
		int fd;
	} sock;
	int depth;
	uint16_t seq;
	struct ubus_object *objects;
	struct ubus_request *requests;
	struct fake_message *pending;
};

extern bool uloop_cancelled;

struct ubus_context *ubus_connect(const char *path);
void ubus_free(struct ubus_context *ctx);
void ubus_handle_event(struct ubus_context *ctx);
int ubus_add_object(struct ubus_context *ctx, struct ubus_object *obj);
int ubus_lookup(struct ubus_context *ctx, const char *path,
		void (*cb)(struct ubus_context *, struct ubus_object_data *, void *), void *priv);
int ubus_register_event_handler(struct ubus_context *ctx, struct ubus_event_handler *ev, const char *pattern);
int ubus_register_subscriber(struct ubus_context *ctx, struct ubus_subscriber *sub);
int ubus_unregister_subscriber(struct ubus_context *ctx, struct ubus_subscriber *sub);
int ubus_subscribe(struct ubus_context *ctx, struct ubus_subscriber *sub, uint32_t id);
int ubus_invoke_async(struct ubus_context *ctx, uint32_t obj, const char *method, struct blob_attr *msg,
		      struct ubus_request *req);
void ubus_complete_request_async(struct ubus_context *ctx, struct ubus_request *req);
void ubus_abort_request(struct ubus_context *ctx, struct ubus_request *req);
void ubus_defer_request(struct ubus_context *ctx, struct ubus_request_data *req, struct ubus_request_data *copy);
int ubus_send_reply(struct ubus_context *ctx, struct ubus_request_data *req, struct blob_attr *msg);
void ubus_complete_deferred_request(struct ubus_context *ctx, struct ubus_request_data *req, int ret);
int ubus_notify(struct ubus_context *ctx, struct ubus_object *obj, const char *type, struct blob_attr *msg, int timeout);
#endif
