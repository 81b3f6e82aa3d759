/* A small stand-in for libubus: what the shim calls, over the real protocol, so that any broker may sit at the other end. Like the real
 * one it waits for ubusd without limit, puts calls by while it waits, handles one message at a time, and catches signals when it connects.
 * Own code for tests. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <libubus.h>

enum { HELLO, STATUS, DATA, PING, LOOKUP, INVOKE, ADD, REMOVE, SUBSCRIBE, UNSUBSCRIBE, NOTIFY };
enum { A_STATUS = 1, A_PATH, A_OBJECT, A_METHOD, A_TYPE, A_SIGNATURE, A_DATA, A_TARGET, A_ACTIVE, A_NO_REPLY, A_LAST = 14 };

struct fake_message {
	struct fake_message *next;
	uint8_t type;
	uint16_t seq;
	uint32_t peer;
	struct blob_attr *attr[A_LAST];
	size_t length;
	uint8_t body[];
};

bool uloop_cancelled;

static void handler(int number)
{
	uloop_cancelled = number == SIGTERM || number == SIGINT;
}

/* Bytes that grow. */
static void put(struct blob_buf *buf, const void *data, size_t length)
{
	uint8_t *grown = realloc(buf->head, buf->length + length + 4);

	if (!grown)
		abort();
	if (length)
		memcpy(grown + buf->length, data, length);
	buf->length += length;
	buf->head = (struct blob_attr *)(void *)grown;
	grown[1] = (uint8_t)(buf->length >> 16);
	grown[2] = (uint8_t)(buf->length >> 8);
	grown[3] = (uint8_t)buf->length;
}

static void put_attr(struct blob_buf *buf, int id, const void *data, size_t length)
{
	size_t whole = length + 4;
	uint8_t header[4] = { (uint8_t)id, (uint8_t)(whole >> 16), (uint8_t)(whole >> 8), (uint8_t)whole };

	put(buf, header, 4);
	put(buf, data, length);
	put(buf, "\0\0\0", (4 - length % 4) % 4);
}

static void put_number(struct blob_buf *buf, int id, uint32_t number)
{
	uint8_t bytes[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };

	put_attr(buf, id, bytes, 4);
}

static void put_text(struct blob_buf *buf, int id, const char *text)
{
	put_attr(buf, id, text, strlen(text) + 1);
}

static uint32_t number_of(const struct blob_attr *attr)
{
	const uint8_t *data = attr && blob_len(attr) >= 4 ? blob_data(attr) : (const uint8_t *)"\0\0\0";

	return ((uint32_t)data[0] << 24) | ((uint32_t)data[1] << 16) | ((uint32_t)data[2] << 8) | data[3];
}

int blob_buf_init(struct blob_buf *buf, int id)
{
	(void)id;
	buf->length = 0;
	put(buf, "\0\0\0", 4);
	return 0;
}

void blob_buf_free(struct blob_buf *buf)
{
	free(buf->head);
	memset(buf, 0, sizeof(*buf));
}

struct blob_attr *blob_put_raw(struct blob_buf *buf, const void *ptr, unsigned int len)
{
	put(buf, ptr, len);
	return buf->head;
}

static bool transfer(struct ubus_context *ctx, void *bytes, size_t length, bool out)
{
	size_t done = 0;

	while (done < length && !ctx->sock.eof) {
		struct pollfd entry = { .fd = ctx->sock.fd, .events = out ? POLLOUT : POLLIN };
		ssize_t part = out ? send(ctx->sock.fd, (char *)bytes + done, length - done, MSG_DONTWAIT)
				   : recv(ctx->sock.fd, (char *)bytes + done, length - done, MSG_DONTWAIT);

		if (part > 0)
			done += (size_t)part;
		else if (part < 0 && (errno == EAGAIN || errno == EINTR))
			poll(&entry, 1, -1);
		else
			ctx->sock.eof = true;
	}
	return done == length;
}

/* Sends a message and frees its envelope. */
static bool post(struct ubus_context *ctx, int type, uint16_t seq, uint32_t peer, struct blob_buf *envelope)
{
	uint8_t header[8] = { 0, (uint8_t)type, (uint8_t)(seq >> 8), (uint8_t)seq, (uint8_t)(peer >> 24),
			      (uint8_t)(peer >> 16), (uint8_t)(peer >> 8), (uint8_t)peer };
	bool sent = transfer(ctx, header, 8, true) && transfer(ctx, envelope->head, envelope->length, true);

	blob_buf_free(envelope);
	return sent;
}

/* Reads a message that has begun to come. */
static struct fake_message *take(struct ubus_context *ctx)
{
	uint8_t header[12];
	struct fake_message *message;
	size_t length, at = 0;

	if (!transfer(ctx, header, 12, false))
		return NULL;
	length = (((size_t)header[9] << 16) | ((size_t)header[10] << 8) | header[11]) - 4;
	message = calloc(1, sizeof(*message) + length + 4);
	if (!message || length > 1 << 20 || !transfer(ctx, message->body, length, false)) {
		ctx->sock.eof = true;
		free(message);
		return NULL;
	}
	message->type = header[1];
	message->seq = (uint16_t)((header[2] << 8) | header[3]);
	message->peer = ((uint32_t)header[4] << 24) | ((uint32_t)header[5] << 16) | ((uint32_t)header[6] << 8) | header[7];
	while (at + 4 <= length) {
		struct blob_attr *attr = (struct blob_attr *)(void *)(message->body + at);
		size_t whole = blob_len(attr) + 4;

		if (whole < 4 || whole > length - at)
			break;
		if (attr->header[0] < A_LAST)
			message->attr[attr->header[0]] = attr;
		at += (whole + 3) & ~(size_t)3;
	}
	return message;
}

static bool readable(struct ubus_context *ctx, int timeout)
{
	struct pollfd entry = { .fd = ctx->sock.fd, .events = POLLIN };

	return poll(&entry, 1, timeout) > 0;
}

void ubus_complete_deferred_request(struct ubus_context *ctx, struct ubus_request_data *req, int ret)
{
	struct blob_buf envelope = { 0 };

	blob_buf_init(&envelope, 0);
	put_number(&envelope, A_STATUS, (uint32_t)ret);
	put_number(&envelope, A_OBJECT, req->object);
	post(ctx, STATUS, req->seq, req->peer, &envelope);
}

static void invoked(struct ubus_context *ctx, struct ubus_object *object, struct fake_message *message)
{
	struct ubus_request_data request = { .object = object->id, .peer = message->peer, .seq = message->seq };
	const char *method = message->attr[A_METHOD] ? blob_data(message->attr[A_METHOD]) : "";
	struct blob_attr *data = message->attr[A_DATA];
	int i, status = UBUS_STATUS_METHOD_NOT_FOUND;

	if (!data)
		return;
	if (object->kind == FAKE_EVENTS) {
		struct ubus_event_handler *ev = (void *)((char *)object - offsetof(struct ubus_event_handler, obj));

		ev->cb(ctx, ev, method, data);
		return;
	}
	if (object->kind == FAKE_SUBSCRIBER) {
		struct ubus_subscriber *sub = (void *)((char *)object - offsetof(struct ubus_subscriber, obj));

		status = sub->cb(ctx, object, &request, method, data);
	}
	for (i = 0; object->kind == FAKE_OBJECT && i < object->n_methods; i++)
		if (!strcmp(object->methods[i].name, method))
			status = object->methods[i].handler(ctx, object, &request, method, data);
	if (!request.deferred && !message->attr[A_NO_REPLY])
		ubus_complete_deferred_request(ctx, &request, status);
}

static void reply(struct ubus_context *ctx, struct fake_message *message)
{
	struct ubus_request **link = &ctx->requests;

	while (*link && ((*link)->seq != message->seq || (*link)->peer != message->peer))
		link = &(*link)->next;
	if (!*link)
		return;
	if (message->type == DATA) {
		if ((*link)->data_cb && message->attr[A_DATA])
			(*link)->data_cb(*link, 0, message->attr[A_DATA]);
	} else {
		struct ubus_request *request = *link;

		*link = request->next;
		request->complete_cb(request, (int)number_of(message->attr[A_STATUS]));
	}
}

static void handle(struct ubus_context *ctx, struct fake_message *message)
{
	struct ubus_object *object = ctx->objects;

	if (message->type == STATUS || message->type == DATA) {
		reply(ctx, message);
		free(message);
		return;
	}
	if (ctx->depth) {
		struct fake_message **link = &ctx->pending;

		while (*link)
			link = &(*link)->next;
		*link = message;
		return;
	}
	while (object && object->id != number_of(message->attr[A_OBJECT]))
		object = object->next;
	ctx->depth++;
	if (object && message->type == INVOKE) {
		invoked(ctx, object, message);
	} else if (object && message->type == NOTIFY && object->subscribe_cb && message->attr[A_ACTIVE]) {
		object->has_subscribers = *(char *)blob_data(message->attr[A_ACTIVE]);
		object->subscribe_cb(ctx, object);
	} else if (object && message->type == UNSUBSCRIBE && object->kind == FAKE_SUBSCRIBER) {
		struct ubus_subscriber *sub = (void *)((char *)object - offsetof(struct ubus_subscriber, obj));

		sub->remove_cb(ctx, sub, number_of(message->attr[A_TARGET]));
	}
	ctx->depth--;
	free(message);
}

void ubus_handle_event(struct ubus_context *ctx)
{
	while (ctx->pending && !ctx->depth) {
		struct fake_message *message = ctx->pending;

		ctx->pending = message->next;
		message->next = NULL;
		handle(ctx, message);
	}
	if (!ctx->sock.eof && readable(ctx, 0)) {
		struct fake_message *message = take(ctx);

		if (message)
			handle(ctx, message);
	}
	if (ctx->sock.eof) {
		while (ctx->requests) {
			struct ubus_request *request = ctx->requests;

			ctx->requests = request->next;
			request->complete_cb(request, UBUS_STATUS_TIMEOUT);
		}
		ctx->connection_lost(ctx);
	}
}

/* Asks ubusd and waits. Answers with data are passed to `found`. */
static int ask(struct ubus_context *ctx, int type, uint32_t peer, struct blob_buf *envelope,
	       void (*found)(struct fake_message *, void *), void *priv)
{
	uint16_t seq = ++ctx->seq;
	int status = -1;

	post(ctx, type, seq, peer, envelope);
	ctx->depth++;
	while (status < 0 && !ctx->sock.eof) {
		struct fake_message *message;

		readable(ctx, -1);
		message = take(ctx);
		if (!message)
			continue;
		if (message->seq != seq || message->peer != peer || message->type > DATA) {
			handle(ctx, message);
			continue;
		}
		if (message->type == STATUS)
			status = (int)number_of(message->attr[A_STATUS]);
		else if (found)
			found(message, priv);
		free(message);
	}
	ctx->depth--;
	return status < 0 ? UBUS_STATUS_CONNECTION_FAILED : status;
}

struct ubus_context *ubus_connect(const char *path)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGCHLD };
	struct ubus_context *ctx = calloc(1, sizeof(*ctx));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fake_message *hello;
	size_t i;

	for (i = 0; i < 3; i++)
		signal(numbers[i], handler);
	signal(SIGPIPE, SIG_IGN);
	if (!ctx)
		return NULL;
	strncpy(address.sun_path, path ? path : "/var/run/ubus/ubus.sock", sizeof(address.sun_path) - 1);
	ctx->sock.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!connect(ctx->sock.fd, (struct sockaddr *)&address, sizeof(address)) && (hello = take(ctx))) {
		free(hello);
		return ctx;
	}
	close(ctx->sock.fd);
	free(ctx);
	return NULL;
}

void ubus_free(struct ubus_context *ctx)
{
	close(ctx->sock.fd);
	free(ctx);
}

static void added(struct fake_message *message, void *priv)
{
	struct ubus_object *object = priv;

	object->id = number_of(message->attr[A_OBJECT]);
}

static int add(struct ubus_context *ctx, struct ubus_object *object, struct blob_buf *envelope)
{
	int status = ask(ctx, ADD, 0, envelope, added, object);

	if (status)
		return status;
	object->next = ctx->objects;
	ctx->objects = object;
	return object->id ? 0 : UBUS_STATUS_NO_DATA;
}

/* A named attribute: blobmsg. */
static void put_named(struct blob_buf *buf, int type, const char *name, const struct blob_buf *value)
{
	struct blob_buf inner = { 0 };
	size_t length = strlen(name);
	uint8_t head[2] = { (uint8_t)(length >> 8), (uint8_t)length };

	blob_buf_init(&inner, 0);
	put(&inner, head, 2);
	put(&inner, name, length + 1);
	put(&inner, "\0\0\0", (4 - (length + 3) % 4) % 4);
	put(&inner, value->head->data, value->length - 4);
	put_attr(buf, type | 0x80, inner.head->data, inner.length - 4);
	blob_buf_free(&inner);
}

static void put_named_number(struct blob_buf *buf, const char *name, uint32_t number)
{
	struct blob_buf value = { 0 };
	uint8_t bytes[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };

	blob_buf_init(&value, 0);
	put(&value, bytes, 4);
	put_named(buf, 5, name, &value);
	blob_buf_free(&value);
}

int ubus_add_object(struct ubus_context *ctx, struct ubus_object *obj)
{
	struct blob_buf envelope = { 0 }, signature = { 0 };
	int i, j;

	blob_buf_init(&envelope, 0);
	blob_buf_init(&signature, 0);
	for (i = 0; i < obj->type->n_methods; i++) {
		const struct ubus_method *method = &obj->type->methods[i];
		struct blob_buf arguments = { 0 };

		blob_buf_init(&arguments, 0);
		for (j = 0; j < method->n_policy; j++)
			put_named_number(&arguments, method->policy[j].name, method->policy[j].type);
		put_named(&signature, 2, method->name, &arguments);
		blob_buf_free(&arguments);
	}
	put_text(&envelope, A_PATH, obj->name);
	put_attr(&envelope, A_SIGNATURE, signature.head->data, signature.length - 4);
	blob_buf_free(&signature);
	obj->kind = FAKE_OBJECT;
	return add(ctx, obj, &envelope);
}

struct lookup {
	struct ubus_context *ctx;
	void (*cb)(struct ubus_context *, struct ubus_object_data *, void *);
	void *priv;
};

static void looked_up(struct fake_message *message, void *priv)
{
	struct lookup *lookup = priv;
	struct ubus_object_data data = { .id = number_of(message->attr[A_OBJECT]) };

	if (!message->attr[A_PATH])
		return;
	data.path = blob_data(message->attr[A_PATH]);
	lookup->cb(lookup->ctx, &data, lookup->priv);
}

int ubus_lookup(struct ubus_context *ctx, const char *path,
		void (*cb)(struct ubus_context *, struct ubus_object_data *, void *), void *priv)
{
	struct lookup lookup = { ctx, cb, priv };
	struct blob_buf envelope = { 0 };

	blob_buf_init(&envelope, 0);
	put_text(&envelope, A_PATH, path);
	return ask(ctx, LOOKUP, 0, &envelope, looked_up, &lookup);
}

int ubus_register_event_handler(struct ubus_context *ctx, struct ubus_event_handler *ev, const char *pattern)
{
	struct blob_buf envelope = { 0 }, arguments = { 0 }, text = { 0 };
	int status;

	blob_buf_init(&envelope, 0);
	if (!ev->obj.id) {
		ev->obj.kind = FAKE_EVENTS;
		status = add(ctx, &ev->obj, &envelope);
		if (status)
			return status;
		blob_buf_init(&envelope, 0);
	}
	blob_buf_init(&arguments, 0);
	put_named_number(&arguments, "object", ev->obj.id);
	blob_buf_init(&text, 0);
	put(&text, pattern, strlen(pattern) + 1);
	put_named(&arguments, 3, "pattern", &text);
	put_number(&envelope, A_OBJECT, 1);
	put_text(&envelope, A_METHOD, "register");
	put_attr(&envelope, A_DATA, arguments.head->data, arguments.length - 4);
	blob_buf_free(&arguments);
	blob_buf_free(&text);
	return ask(ctx, INVOKE, 1, &envelope, NULL, NULL);
}

int ubus_register_subscriber(struct ubus_context *ctx, struct ubus_subscriber *sub)
{
	struct blob_buf envelope = { 0 };

	blob_buf_init(&envelope, 0);
	sub->obj.kind = FAKE_SUBSCRIBER;
	return add(ctx, &sub->obj, &envelope);
}

int ubus_unregister_subscriber(struct ubus_context *ctx, struct ubus_subscriber *sub)
{
	struct ubus_object **link = &ctx->objects;
	struct blob_buf envelope = { 0 };
	int status;

	blob_buf_init(&envelope, 0);
	put_number(&envelope, A_OBJECT, sub->obj.id);
	status = ask(ctx, REMOVE, 0, &envelope, NULL, NULL);
	while (!status && *link && *link != &sub->obj)
		link = &(*link)->next;
	if (!status && *link)
		*link = sub->obj.next;
	return status;
}

int ubus_subscribe(struct ubus_context *ctx, struct ubus_subscriber *sub, uint32_t id)
{
	struct blob_buf envelope = { 0 };

	blob_buf_init(&envelope, 0);
	put_number(&envelope, A_OBJECT, sub->obj.id);
	put_number(&envelope, A_TARGET, id);
	return ask(ctx, SUBSCRIBE, 0, &envelope, NULL, NULL);
}

static bool send_data(struct ubus_context *ctx, int type, uint16_t seq, uint32_t peer, uint32_t object, const char *method,
		      struct blob_attr *msg, bool no_reply)
{
	struct blob_buf envelope = { 0 };

	blob_buf_init(&envelope, 0);
	put_number(&envelope, A_OBJECT, object);
	if (method)
		put_text(&envelope, A_METHOD, method);
	put_attr(&envelope, A_DATA, blob_data(msg), blob_len(msg));
	if (no_reply)
		put_attr(&envelope, A_NO_REPLY, "\1", 1);
	return post(ctx, type, seq, peer, &envelope);
}

int ubus_invoke_async(struct ubus_context *ctx, uint32_t obj, const char *method, struct blob_attr *msg,
		      struct ubus_request *req)
{
	memset(req, 0, sizeof(*req));
	req->peer = obj;
	req->seq = ++ctx->seq;
	return send_data(ctx, INVOKE, req->seq, obj, obj, method, msg, false) ? 0 : UBUS_STATUS_INVALID_ARGUMENT;
}

void ubus_complete_request_async(struct ubus_context *ctx, struct ubus_request *req)
{
	req->next = ctx->requests;
	ctx->requests = req;
}

void ubus_abort_request(struct ubus_context *ctx, struct ubus_request *req)
{
	struct ubus_request **link = &ctx->requests;

	while (*link && *link != req)
		link = &(*link)->next;
	if (*link)
		*link = req->next;
}

void ubus_defer_request(struct ubus_context *ctx, struct ubus_request_data *req, struct ubus_request_data *copy)
{
	(void)ctx;
	*copy = *req;
	req->deferred = true;
}

int ubus_send_reply(struct ubus_context *ctx, struct ubus_request_data *req, struct blob_attr *msg)
{
	return send_data(ctx, DATA, req->seq, req->peer, req->object, NULL, msg, false) ? 0 : UBUS_STATUS_NO_DATA;
}

int ubus_notify(struct ubus_context *ctx, struct ubus_object *obj, const char *type, struct blob_attr *msg, int timeout)
{
	(void)timeout;
	return send_data(ctx, NOTIFY, ++ctx->seq, obj->id, obj->id, type, msg, true) ? 0 : UBUS_STATUS_INVALID_ARGUMENT;
}
