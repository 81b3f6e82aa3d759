/* The glue to libubus; see shim.h. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libubus.h>

#include "shim.h"

#define OWNER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

struct l3_request {
	struct ubus_request_data data;
};

/* A subscription, pinned while ubusd knows it: libubus links it into its own trees. */
struct subscription {
	struct ubus_subscriber subscriber;
	struct l3_bus *bus;
	struct subscription *next;
};

/* A call of ours, pinned until its reply has been told. */
struct call {
	struct ubus_request request;
	struct l3_bus *bus;
	struct call *next;
	uint32_t key;
	bool over;
	void *data;
	size_t length;
};

struct l3_bus {
	struct ubus_context *context;
	struct l3_callbacks callbacks;
	void *owner;
	bool closing;
	struct blob_buf buffer;
	struct ubus_object object;
	struct ubus_object_type type;
	struct ubus_method *methods;
	struct blobmsg_policy *policies;
	struct ubus_event_handler events;
	struct subscription *subscriptions;
	struct call *calls;
};

/* libubus tells it again and again; sock.eof says the same. */
static void connection_lost(struct ubus_context *context)
{
	(void)context;
}

/* ubus_connect calls uloop_init, which installs handlers where the default stands. Nobody reads what they note, for uloop does not run:
 * they are taken back, and a signal that one of them has swallowed is sent again. */
static struct ubus_context *connect_quietly(const char *path)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGCHLD, SIGPIPE };
	enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
	struct sigaction before[COUNT];
	struct ubus_context *context;
	size_t i;

	for (i = 0; i < COUNT; i++)
		sigaction(numbers[i], NULL, &before[i]);
	context = ubus_connect(path);
	for (i = 0; i < COUNT; i++) {
		struct sigaction now;

		sigaction(numbers[i], NULL, &now);
		if (now.sa_handler != before[i].sa_handler)
			sigaction(numbers[i], &before[i], NULL);
	}
	if (uloop_cancelled) {
		uloop_cancelled = false;
		kill(getpid(), SIGTERM);
	}
	return context;
}

struct l3_bus *l3_bus_connect(const char *path, const struct l3_callbacks *callbacks, void *owner)
{
	struct l3_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->context = connect_quietly(path);
	if (!bus->context) {
		free(bus);
		return NULL;
	}
	bus->context->connection_lost = connection_lost;
	bus->callbacks = *callbacks;
	bus->owner = owner;
	return bus;
}

void l3_bus_free(struct l3_bus *bus)
{
	bus->closing = true;
	/* What libubus has put by during a call is its own memory, and freed only when it is worked off. */
	ubus_handle_event(bus->context);
	ubus_free(bus->context);
	while (bus->subscriptions) {
		struct subscription *next = bus->subscriptions->next;

		free(bus->subscriptions);
		bus->subscriptions = next;
	}
	while (bus->calls) {
		struct call *next = bus->calls->next;

		free(bus->calls->data);
		free(bus->calls);
		bus->calls = next;
	}
	blob_buf_free(&bus->buffer);
	free(bus->methods);
	free(bus->policies);
	free(bus);
}

int l3_bus_fd(const struct l3_bus *bus)
{
	return bus->context->sock.fd;
}

bool l3_bus_is_lost(const struct l3_bus *bus)
{
	return bus->context->sock.eof;
}

/* Frees the calls that are over. Not done where libubus tells so: it may look at the request once more. */
static void sweep(struct l3_bus *bus)
{
	struct call **link = &bus->calls;

	while (*link) {
		struct call *call = *link;

		if (call->over) {
			*link = call->next;
			free(call->data);
			free(call);
		} else {
			link = &call->next;
		}
	}
}

void l3_bus_work(struct l3_bus *bus)
{
	ubus_handle_event(bus->context);
	sweep(bus);
}

static int on_call(struct ubus_context *context, struct ubus_object *object, struct ubus_request_data *data,
		   const char *method, struct blob_attr *message)
{
	struct l3_bus *bus = OWNER_OF(object, struct l3_bus, object);
	struct l3_request *request;
	int i;

	if (bus->closing)
		return UBUS_STATUS_CONNECTION_FAILED;
	for (i = 0; i < object->n_methods; i++)
		if (!strcmp(object->methods[i].name, method))
			break;
	if (i == object->n_methods)
		return UBUS_STATUS_METHOD_NOT_FOUND;
	request = calloc(1, sizeof(*request));
	if (!request)
		return UBUS_STATUS_UNKNOWN_ERROR;
	ubus_defer_request(context, data, &request->data);
	bus->callbacks.called(bus->owner, request, (size_t)i, blob_data(message), blob_len(message));
	return 0;
}

static void on_subscribers(struct ubus_context *context, struct ubus_object *object)
{
	struct l3_bus *bus = OWNER_OF(object, struct l3_bus, object);

	(void)context;
	if (!bus->closing)
		bus->callbacks.subscribed(bus->owner, object->has_subscribers);
}

int l3_bus_offer(struct l3_bus *bus, const char *name, const struct l3_method *methods, size_t count)
{
	struct blobmsg_policy *policy;
	size_t i, j, arguments = 0;

	if (bus->methods)
		return UBUS_STATUS_INVALID_ARGUMENT;
	for (i = 0; i < count; i++)
		arguments += methods[i].count;
	bus->methods = calloc(count + 1, sizeof(*bus->methods));
	bus->policies = calloc(arguments + 1, sizeof(*bus->policies));
	if (!bus->methods || !bus->policies)
		return UBUS_STATUS_UNKNOWN_ERROR;
	policy = bus->policies;
	for (i = 0; i < count; i++) {
		bus->methods[i].name = methods[i].name;
		bus->methods[i].handler = on_call;
		bus->methods[i].policy = policy;
		bus->methods[i].n_policy = (int)methods[i].count;
		for (j = 0; j < methods[i].count; j++, policy++) {
			policy->name = methods[i].arguments[j].name;
			policy->type = (enum blobmsg_type)methods[i].arguments[j].type;
		}
	}
	bus->type.name = name;
	bus->type.methods = bus->object.methods = bus->methods;
	bus->type.n_methods = bus->object.n_methods = (int)count;
	bus->object.name = name;
	bus->object.type = &bus->type;
	bus->object.subscribe_cb = on_subscribers;
	return ubus_add_object(bus->context, &bus->object);
}

static void on_event(struct ubus_context *context, struct ubus_event_handler *handler, const char *name,
		     struct blob_attr *message)
{
	struct l3_bus *bus = OWNER_OF(handler, struct l3_bus, events);

	(void)context;
	if (!bus->closing)
		bus->callbacks.event(bus->owner, name, blob_data(message), blob_len(message));
}

int l3_bus_listen(struct l3_bus *bus, const char *event)
{
	bus->events.cb = on_event;
	return ubus_register_event_handler(bus->context, &bus->events, event);
}

static void on_found(struct ubus_context *context, struct ubus_object_data *object, void *owner)
{
	struct l3_bus *bus = owner;

	(void)context;
	bus->callbacks.found(bus->owner, object->id, object->path);
}

int l3_bus_lookup(struct l3_bus *bus, const char *path)
{
	return ubus_lookup(bus->context, path, on_found, bus);
}

static int on_notification(struct ubus_context *context, struct ubus_object *object, struct ubus_request_data *data,
			   const char *name, struct blob_attr *message)
{
	struct subscription *subscription = OWNER_OF(object, struct subscription, subscriber.obj);
	struct l3_bus *bus = subscription->bus;

	(void)context;
	(void)data;
	if (!bus->closing)
		bus->callbacks.notified(bus->owner, object->id, name, blob_data(message), blob_len(message));
	return 0;
}

static void on_removal(struct ubus_context *context, struct ubus_subscriber *subscriber, uint32_t object)
{
	struct subscription *subscription = OWNER_OF(subscriber, struct subscription, subscriber);
	struct l3_bus *bus = subscription->bus;

	(void)context;
	(void)object;
	if (!bus->closing)
		bus->callbacks.unsubscribed(bus->owner, subscriber->obj.id);
}

int l3_bus_subscribe(struct l3_bus *bus, uint32_t object, uint32_t *number)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));
	int status;

	if (!subscription)
		return UBUS_STATUS_UNKNOWN_ERROR;
	subscription->bus = bus;
	subscription->subscriber.cb = on_notification;
	subscription->subscriber.remove_cb = on_removal;
	/* A notification names its subscriber and not its sender: a subscriber for each. */
	status = ubus_register_subscriber(bus->context, &subscription->subscriber);
	if (status && !subscription->subscriber.obj.id) {
		free(subscription);
		return status;
	}
	subscription->next = bus->subscriptions;
	bus->subscriptions = subscription;
	*number = subscription->subscriber.obj.id;
	if (!status)
		status = ubus_subscribe(bus->context, &subscription->subscriber, object);
	if (status)
		l3_bus_unsubscribe(bus, *number);
	return status;
}

void l3_bus_unsubscribe(struct l3_bus *bus, uint32_t number)
{
	struct subscription **link = &bus->subscriptions;

	while (*link && (*link)->subscriber.obj.id != number)
		link = &(*link)->next;
	/* Where ubusd did not confirm it libubus still knows the subscriber: it stays until the end of the connection. */
	if (*link && !bus->context->sock.eof &&
	    !ubus_unregister_subscriber(bus->context, &(*link)->subscriber)) {
		struct subscription *subscription = *link;

		*link = subscription->next;
		free(subscription);
	}
}

/* The bytes as a message. */
static struct blob_attr *message_of(struct l3_bus *bus, const void *data, size_t length)
{
	if (blob_buf_init(&bus->buffer, 0))
		return NULL;
	if (length && !blob_put_raw(&bus->buffer, data, (unsigned int)length))
		return NULL;
	return bus->buffer.head;
}

static void on_data(struct ubus_request *request, int type, struct blob_attr *message)
{
	struct call *call = OWNER_OF(request, struct call, request);
	size_t length = blob_len(message);
	void *copy = malloc(length + 1);

	(void)type;
	if (!copy)
		return;
	memcpy(copy, blob_data(message), length);
	free(call->data);
	call->data = copy;
	call->length = length;
}

static void on_completion(struct ubus_request *request, int status)
{
	struct call *call = OWNER_OF(request, struct call, request);

	if (call->over)
		return;
	call->over = true;
	if (!call->bus->closing)
		call->bus->callbacks.replied(call->bus->owner, call->key, status, call->data, call->length);
}

int l3_bus_call(struct l3_bus *bus, uint32_t key, uint32_t object, const char *method, const void *data, size_t length)
{
	struct blob_attr *message = message_of(bus, data, length);
	struct call *call = message ? calloc(1, sizeof(*call)) : NULL;
	int status;

	if (!call)
		return UBUS_STATUS_UNKNOWN_ERROR;
	sweep(bus);
	status = ubus_invoke_async(bus->context, object, method, message, &call->request);
	if (status) {
		free(call);
		return status;
	}
	call->bus = bus;
	call->key = key;
	call->next = bus->calls;
	bus->calls = call;
	call->request.data_cb = on_data;
	call->request.complete_cb = on_completion;
	ubus_complete_request_async(bus->context, &call->request);
	return 0;
}

void l3_bus_abandon(struct l3_bus *bus, uint32_t key)
{
	struct call *call;

	for (call = bus->calls; call; call = call->next) {
		if (call->key != key || call->over)
			continue;
		call->over = true;
		ubus_abort_request(bus->context, &call->request);
	}
	sweep(bus);
}

void l3_bus_answer(struct l3_bus *bus, struct l3_request *request, int status, const void *data, size_t length)
{
	if (!bus->context->sock.eof) {
		if (!status) {
			struct blob_attr *message = message_of(bus, data, length);

			status = message ? ubus_send_reply(bus->context, &request->data, message) : UBUS_STATUS_UNKNOWN_ERROR;
		}
		ubus_complete_deferred_request(bus->context, &request->data, status);
	}
	free(request);
}

void l3_request_free(struct l3_request *request)
{
	free(request);
}

void l3_bus_notify(struct l3_bus *bus, const char *name, const void *data, size_t length)
{
	struct blob_attr *message = message_of(bus, data, length);

	if (message && !bus->context->sock.eof)
		ubus_notify(bus->context, &bus->object, name, message, -1);
}
