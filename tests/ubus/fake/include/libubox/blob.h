/* The part of libubox that the shim names. Own code for tests: it shares the names and the bytes with libubox, nothing else. */
#ifndef FAKE_BLOB_H
#define FAKE_BLOB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_attr {
	uint8_t header[4];
	char data[];
};

struct blob_buf {
	struct blob_attr *head;
	size_t length;
};

static inline size_t blob_len(const struct blob_attr *attr)
{
	return (((size_t)attr->header[1] << 16) | ((size_t)attr->header[2] << 8) | attr->header[3]) - 4;
}

static inline void *blob_data(const struct blob_attr *attr)
{
	return (void *)attr->data;
}

int blob_buf_init(struct blob_buf *buf, int id);
void blob_buf_free(struct blob_buf *buf);
struct blob_attr *blob_put_raw(struct blob_buf *buf, const void *ptr, unsigned int len);
#endif
