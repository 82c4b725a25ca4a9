/*
 * Messages of small devices: a table says which members each kind of message
 * has, and both directions go by it.
 */
#include "iotctl/frame.h"

#include "iotctl/base.h"
#include "iotctl/cose.h"
#include "iotctl/text.h"

#include <string.h>

enum member {
	KIND,
	VERSION,
	NONCE,
	TOKEN,
	BOOT,
	SEQUENCE,
	ROLE,
	PAYLOAD,
	SUBFOLDER,
	ID,
	NAME,
	REASON,
	IDLE,
	LONGEST,
	MEMBERS
};

/* A number between two limits, or a string of between so many bytes. */
static const struct rule {
	enum iot_cbor_major major;
	uint64_t min, max;
	size_t offset; /* of its field: uint64_t (role: int), or a span */
} rules[MEMBERS] = {
	[KIND] = {IOT_CBOR_UNSIGNED, 1, IOT_FRAME_KINDS - 1, 0},
	[VERSION] = {IOT_CBOR_UNSIGNED, 1, UINT32_MAX, offsetof(struct iot_frame, version)},
	[NONCE] = {IOT_CBOR_BYTES, 32, 64, offsetof(struct iot_frame, nonce)},
	[TOKEN] = {IOT_CBOR_BYTES, 1, IOT_COSE_MAX, offsetof(struct iot_frame, token)},
	[BOOT] = {IOT_CBOR_BYTES, IOT_FRAME_BOOT_MIN, IOT_FRAME_BOOT_MAX, offsetof(struct iot_frame, boot)},
	[SEQUENCE] = {IOT_CBOR_UNSIGNED, 0, INT64_MAX, offsetof(struct iot_frame, sequence)},
	[ROLE] = {IOT_CBOR_UNSIGNED, 1, IOT_FRAME_ROLES - 1, 0},
	[PAYLOAD] = {IOT_CBOR_BYTES, 0, IOT_FRAME_PAYLOAD_MAX, offsetof(struct iot_frame, payload)},
	[SUBFOLDER] = {IOT_CBOR_TEXT, 1, IOT_FRAME_SUBFOLDER_MAX, offsetof(struct iot_frame, subfolder)},
	[ID] = {IOT_CBOR_UNSIGNED, 1, UINT32_MAX, offsetof(struct iot_frame, id)},
	[NAME] = {IOT_CBOR_TEXT, 1, IOT_FRAME_NAME_MAX, offsetof(struct iot_frame, name)},
	[REASON] = {IOT_CBOR_TEXT, 1, IOT_FRAME_NAME_MAX, offsetof(struct iot_frame, reason)},
	[IDLE] = {IOT_CBOR_UNSIGNED, 1, UINT32_MAX, offsetof(struct iot_frame, idle)},
	[LONGEST] = {IOT_CBOR_UNSIGNED, 256, IOT_FRAME_MAX, offsetof(struct iot_frame, longest)},
};

#define BIT(member) (1U << (member))

/* Besides KIND. */
static const struct shape {
	unsigned must, may;
} shapes[IOT_FRAME_KINDS] = {
	[IOT_FRAME_CHALLENGE] = {BIT(VERSION) | BIT(NONCE), 0},
	[IOT_FRAME_TOKEN] = {BIT(TOKEN) | BIT(BOOT), BIT(LONGEST)},
	[IOT_FRAME_ACCEPTED] = {BIT(NAME) | BIT(SEQUENCE) | BIT(IDLE) | BIT(LONGEST), 0},
	[IOT_FRAME_REFUSED] = {BIT(REASON), 0},
	[IOT_FRAME_DATA] = {BIT(SEQUENCE) | BIT(ROLE) | BIT(PAYLOAD), BIT(SUBFOLDER) | BIT(ID)},
	[IOT_FRAME_ACK] = {BIT(SEQUENCE), 0},
	[IOT_FRAME_BUSY] = {BIT(SEQUENCE), 0},
	[IOT_FRAME_CONFIG] = {BIT(ID) | BIT(PAYLOAD), 0},
	[IOT_FRAME_COMMAND] = {BIT(ID) | BIT(PAYLOAD), BIT(SUBFOLDER)},
	[IOT_FRAME_APPLIED] = {BIT(ID), 0},
	[IOT_FRAME_COPY] = {BIT(NAME) | BIT(ROLE) | BIT(PAYLOAD), BIT(SUBFOLDER)},
	[IOT_FRAME_PING] = {0, 0},
	[IOT_FRAME_PONG] = {0, 0},
};

static const char *const role_names[IOT_FRAME_ROLES] = {NULL, "event", "state", "reply"};

const char *iot_frame_role_name(int role)
{
	return role > 0 && role < IOT_FRAME_ROLES ? role_names[role] : NULL;
}

int iot_frame_role_parse(const char *name, size_t len)
{
	for (int i = 1; i < IOT_FRAME_ROLES; i++) {
		if (strlen(role_names[i]) == len && memcmp(role_names[i], name, len) == 0)
			return i;
	}
	return 0;
}

/* --- reading ------------------------------------------------------------------------ */

static struct iot_span *span_of(const struct iot_frame *frame, enum member member)
{
	return (struct iot_span *)((char *)(uintptr_t)frame + rules[member].offset);
}

static uint64_t *number_of(const struct iot_frame *frame, enum member member)
{
	return (uint64_t *)(void *)((char *)(uintptr_t)frame + rules[member].offset);
}

static void store(struct iot_frame *frame, enum member member, const struct iot_cbor_item *item)
{
	if (member == KIND)
		frame->kind = (enum iot_frame_kind)item->number;
	else if (member == ROLE)
		frame->role = (int)item->number;
	else if (rules[member].major == IOT_CBOR_UNSIGNED)
		*number_of(frame, member) = item->number;
	else /* an empty string is there, too */
		*span_of(frame, member) =
			(struct iot_span){item->number > 0 ? item->bytes : (const uint8_t *)"", (size_t)item->number};
}

static bool read_member(struct iot_cbor *reader, struct iot_frame *frame, unsigned *seen)
{
	struct iot_cbor_item key, item;

	if (!iot_cbor_next(reader, &key))
		return false;
	if (key.major != IOT_CBOR_UNSIGNED || key.number >= MEMBERS)
		return iot_cbor_fault(reader, "a message has no member of that key");
	if ((*seen & BIT(key.number)) != 0)
		return iot_cbor_fault(reader, "a member is there twice");
	*seen |= BIT(key.number);
	if (!iot_cbor_next(reader, &item))
		return false;
	if (item.major != rules[key.number].major)
		return iot_cbor_fault(reader, "a member is of the wrong type");
	if (item.number < rules[key.number].min || item.number > rules[key.number].max)
		return iot_cbor_fault(reader, "a member is out of its limits");
	if (key.number == NONCE && item.number % 16 != 0)
		return iot_cbor_fault(reader, "a nonce has 32, 48 or 64 bytes");
	store(frame, (enum member)key.number, &item);
	return true;
}

/* Text ends up in topics and logs. */
static bool clean_text(const struct iot_span *text)
{
	for (size_t i = 0; i < text->len; i++) {
		uint8_t c = ((const uint8_t *)text->data)[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static bool check_shape(struct iot_cbor *reader, const struct iot_frame *frame, unsigned seen)
{
	const struct shape *shape = &shapes[frame->kind];

	if ((seen & BIT(KIND)) == 0)
		return iot_cbor_fault(reader, "it does not say what kind of message it is");
	seen &= ~BIT(KIND);
	if ((seen & shape->must) != shape->must)
		return iot_cbor_fault(reader, "a member is missing");
	if ((seen & ~(shape->must | shape->may)) != 0)
		return iot_cbor_fault(reader, "a member does not belong to this kind of message");
	if (frame->kind == IOT_FRAME_DATA && frame->sequence == 0)
		return iot_cbor_fault(reader, "data has no sequence 0");
	if (!clean_text(&frame->subfolder) || !clean_text(&frame->name) || !clean_text(&frame->reason))
		return iot_cbor_fault(reader, "a text has control characters");
	return true;
}

enum iot_status iot_frame_read(const void *data, size_t len, struct iot_frame *ret, struct iot_error *err)
{
	struct iot_frame frame = {0};
	struct iot_cbor reader;
	struct iot_cbor_item map;
	unsigned seen = 0;
	bool good;
	enum iot_status status;

	if (len > IOT_FRAME_MAX)
		return iot_fail(err, IOT_USAGE, "a message of %zu bytes is too long: %d are possible", len,
				IOT_FRAME_MAX);
	iot_cbor_open(&reader, data, len);
	good = iot_cbor_next(&reader, &map);
	if (good && (map.major != IOT_CBOR_MAP || map.number > MEMBERS))
		good = iot_cbor_fault(&reader, "it is not a map of a few members");
	for (uint64_t i = 0; good && i < map.number; i++)
		good = read_member(&reader, &frame, &seen);
	if (good && check_shape(&reader, &frame, seen))
		(void)!iot_cbor_end(&reader);
	status = iot_cbor_check(&reader, "the message", err);
	if (status == IOT_OK)
		*ret = frame;
	return status;
}

/* --- writing ------------------------------------------------------------------------ */

static uint64_t number_in(const struct iot_frame *frame, unsigned member)
{
	return member == KIND   ? (uint64_t)frame->kind
	       : member == ROLE ? (uint64_t)frame->role
				: *number_of(frame, (enum member)member);
}

static bool is_there(const struct iot_frame *frame, unsigned member)
{
	if (member == KIND || (shapes[frame->kind].must & BIT(member)) != 0)
		return true;
	if ((shapes[frame->kind].may & BIT(member)) == 0)
		return false;
	return rules[member].major == IOT_CBOR_UNSIGNED ? number_in(frame, member) != 0
							: span_of(frame, (enum member)member)->data != NULL;
}

void iot_frame_write(const struct iot_frame *frame, struct iot_buf *out)
{
	struct iot_buf body = IOT_BUF_INIT(2 * IOT_FRAME_MAX);
	uint64_t count = 0;
	uint8_t head[IOT_FRAME_HEAD];

	for (unsigned i = 0; i < MEMBERS; i++)
		count += is_there(frame, i);
	iot_cbor_put(&body, IOT_CBOR_MAP, count);
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (!is_there(frame, i))
			continue;
		iot_cbor_put(&body, IOT_CBOR_UNSIGNED, i);
		if (rules[i].major == IOT_CBOR_UNSIGNED)
			iot_cbor_put(&body, IOT_CBOR_UNSIGNED, number_in(frame, i));
		else if (rules[i].major == IOT_CBOR_BYTES)
			iot_cbor_put_bytes(&body, span_of(frame, (enum member)i)->data,
					   span_of(frame, (enum member)i)->len);
		else
			iot_cbor_put_text(&body, span_of(frame, (enum member)i)->data,
					  span_of(frame, (enum member)i)->len);
	}
	for (int i = 0; i < IOT_FRAME_HEAD; i++)
		head[i] = (uint8_t)(body.len >> (8 * (IOT_FRAME_HEAD - 1 - i)));
	iot_buf_add(out, head, sizeof(head));
	iot_buf_add(out, body.data, body.len);
	iot_buf_release(&body);
}
