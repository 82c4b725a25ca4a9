/*
 * Signatures that were seen, so that a request that changes something cannot be
 * sent again by whoever got hold of it. TLS keeps it from being seen; this is for
 * when that does not hold (a proxy that logs, a core file).
 *
 * Memory is bounded. Entries hang in a list per second of their date, and in a
 * hash table. `floor` is the oldest second that is accepted: it follows the clock,
 * and when there is no room the oldest seconds are forgotten and the floor rises
 * above them. So under more load than there is room for the window gets shorter,
 * and nothing is accepted of which it is not known whether it was seen.
 */
#include "broker/api/api.h"

#include "iotctl/base.h"

#include <string.h>

enum {
	ENTRIES = 65536,
	BUCKETS = 65536, /* power of two */
	SECONDS = 2048,  /* power of two, more than twice the window */
	NONE = -1,
};

struct entry {
	uint8_t signature[16]; /* half of it tells two apart */
	uint64_t connection;
	int32_t next_hash, next_second;
};

struct api_replay {
	int64_t floor;
	int32_t free; /* list by next_second */
	int32_t seconds[SECONDS];
	int32_t buckets[BUCKETS];
	struct entry entries[ENTRIES];
};

struct api_replay *api_replay_new(int64_t now_s)
{
	struct api_replay *replay = iot_alloc(sizeof(*replay));

	replay->floor = now_s;
	memset(replay->seconds, 0xff, sizeof(replay->seconds));
	memset(replay->buckets, 0xff, sizeof(replay->buckets));
	for (int32_t i = 0; i < ENTRIES; i++)
		replay->entries[i].next_second = i + 1 < ENTRIES ? i + 1 : NONE;
	return replay;
}

void api_replay_free(struct api_replay *replay)
{
	free(replay);
}

static size_t bucket_of(const uint8_t signature[16])
{
	return ((size_t)signature[0] << 8 | signature[1]) & (BUCKETS - 1);
}

static size_t second_of(int64_t second)
{
	return (size_t)second & (SECONDS - 1);
}

static void unhash(struct api_replay *replay, int32_t index)
{
	int32_t *at = &replay->buckets[bucket_of(replay->entries[index].signature)];

	while (*at != index)
		at = &replay->entries[*at].next_hash;
	*at = replay->entries[index].next_hash;
}

/* Forget the second at the floor, which rises. */
static void forget_second(struct api_replay *replay)
{
	int32_t *list = &replay->seconds[second_of(replay->floor)];

	while (*list != NONE) {
		int32_t index = *list;

		*list = replay->entries[index].next_second;
		unhash(replay, index);
		replay->entries[index].next_second = replay->free;
		replay->free = index;
	}
	replay->floor++;
}

static void make_room(struct api_replay *replay, int64_t now_s)
{
	/* A clock that jumps leaves no date that could be accepted, in either direction. */
	if (now_s - replay->floor > 4 * API_WINDOW_S || replay->floor > now_s + API_WINDOW_S) {
		for (int i = 0; i < SECONDS; i++)
			forget_second(replay);
		replay->floor = now_s;
	}
	while (replay->floor < now_s - API_WINDOW_S)
		forget_second(replay);
	while (replay->free == NONE)
		forget_second(replay);
}

static const struct entry *find(const struct api_replay *replay, const uint8_t signature[16])
{
	int32_t index = replay->buckets[bucket_of(signature)];

	while (index != NONE && memcmp(replay->entries[index].signature, signature, 16) != 0)
		index = replay->entries[index].next_hash;
	return index != NONE ? &replay->entries[index] : NULL;
}

enum iot_status api_replay_check(struct api_replay *replay, const uint8_t signature[32], int64_t signed_s,
				 int64_t now_s, uint64_t connection, struct iot_error *err)
{
	const struct entry *known = find(replay, signature);
	struct entry *entry;
	int32_t index;

	if (known != NULL) {
		if (known->connection == connection)
			return IOT_OK;
		return iot_cloud_fail(err, "InvalidSignatureException",
				      "this request came before: a signature counts once, sign it again");
	}
	make_room(replay, now_s);
	if (signed_s < replay->floor || signed_s > now_s + API_WINDOW_S) {
		iot_cloud_fail(err, "InvalidSignatureException",
			       "signature expired: it is %lld s old, and what was signed then is not remembered",
			       (long long)(now_s - signed_s));
		iot_error_hint(err, "sign it again; if that does not help, set the clock");
		return IOT_DENIED;
	}
	index = replay->free;
	entry = &replay->entries[index];
	replay->free = entry->next_second;
	memcpy(entry->signature, signature, sizeof(entry->signature));
	entry->connection = connection;
	entry->next_hash = replay->buckets[bucket_of(signature)];
	replay->buckets[bucket_of(signature)] = index;
	entry->next_second = replay->seconds[second_of(signed_s)];
	replay->seconds[second_of(signed_s)] = index;
	return IOT_OK;
}
