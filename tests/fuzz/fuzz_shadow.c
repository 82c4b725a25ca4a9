/*
 * Shadow requests: one input holds several payloads, divided by newlines, that are
 * applied one after the other to one document; whatever comes, the document stays
 * within its limits and can be stored.
 */
#include "cloud/local/shadow_doc.h"

#include "iotctl/base.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that is said of it, once. */
static void say(const struct shadow_doc *before, const struct shadow_doc *after, const struct shadow_request *request)
{
	json_t *messages[] = {shadow_accepted(after, request, 2), shadow_delta(after, request, 2),
			      shadow_whole(after, request, 2), shadow_documents(before, after, request, 2),
			      shadow_deleted(after, request, 2)};

	for (size_t i = 0; i < IOT_LENGTH(messages); i++) {
		struct iot_buf text = IOT_BUF_INIT(1 << 22);

		if (i != 1 && messages[i] == NULL)
			abort();
		shadow_text(messages[i], &text);
		iot_buf_release(&text);
		json_decref(messages[i]);
	}
}

static void check(const struct shadow_doc *doc)
{
	char *text = shadow_doc_text(doc);
	struct shadow_doc again = {0};

	if (shadow_doc_load(text, doc->version, &again, NULL) != IOT_OK || !json_equal(again.state, doc->state) ||
	    !json_equal(again.metadata, doc->metadata))
		abort();
	shadow_doc_release(&again);
	free(text);
}

static void apply(struct shadow_doc *doc, const char *payload, size_t len)
{
	struct shadow_request request = {0};
	struct shadow_doc after = {0};

	if (shadow_request_other(payload, len, &request, NULL) == IOT_OK)
		shadow_request_release(&request);
	if (shadow_request_update(payload, len, &request, NULL) != IOT_OK)
		return;
	if (shadow_doc_update(doc, &request, 1, &after, NULL) == IOT_OK) {
		say(doc, &after, &request);
		check(&after);
		shadow_doc_release(doc);
		*doc = after;
	}
	shadow_request_release(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct shadow_doc doc = {0};

	if (shadow_doc_load(NULL, 0, &doc, NULL) != IOT_OK)
		abort();
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		apply(&doc, at, len);
		at += len + 1;
	}
	shadow_doc_release(&doc);
	return 0;
}
