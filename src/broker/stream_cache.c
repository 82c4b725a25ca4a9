/*
 * Open files of streams, so that a block costs no look-up in the registry. Two
 * tables: who may read what (by thing, stream and file; asked again after a
 * while, and when the registry has changed), and the open images behind that,
 * shared by all devices that load the same one.
 *
 * The first table is direct-mapped: a new entry takes the place of whichever
 * has the same slot, and costs that one a look-up. Both are bounded.
 */
#include "broker/services.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 4096 /* a power of 2 */
#define IMAGES_MAX 64
#define VALID_MS 30000

struct image {
	int fd; /* -1: the place is free */
	dev_t device;
	ino_t inode;
	uint64_t used;  /* when, as a count of look-ups */
	unsigned round; /* grows when another image takes this place */
};

struct grant {
	char *key; /* thing, '/', stream; NULL: empty */
	int file_id;
	uint32_t image, round;
	int64_t size, version, valid_until;
	uint64_t generation;
};

struct stream_cache {
	const struct broker_port *port;
	uint64_t generation, lookups;
	struct image images[IMAGES_MAX];
	struct grant grants[SLOTS];
};

struct stream_cache *stream_cache_new(const struct broker_port *port)
{
	struct stream_cache *cache = iot_alloc(sizeof(*cache));

	cache->port = port;
	for (size_t i = 0; i < IMAGES_MAX; i++)
		cache->images[i].fd = -1;
	return cache;
}

void stream_cache_free(struct stream_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < IMAGES_MAX; i++)
		iot_close_p(&cache->images[i].fd);
	for (size_t i = 0; i < SLOTS; i++)
		free(cache->grants[i].key);
	free(cache);
}

void stream_cache_changed(struct stream_cache *cache)
{
	cache->generation++;
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * UINT32_C(16777619);
	return hash;
}

static struct grant *slot_of(struct stream_cache *cache, const char *thing, const char *stream, int file_id)
{
	uint32_t hash = hash_text(UINT32_C(2166136261) + (uint32_t)file_id, thing);

	return &cache->grants[hash_text(hash, stream) & (SLOTS - 1)];
}

static bool is_of(const struct grant *grant, const char *thing, const char *stream, int file_id)
{
	size_t len = strlen(thing);

	return grant->key != NULL && grant->file_id == file_id && strncmp(grant->key, thing, len) == 0 &&
	       grant->key[len] == '/' && strcmp(grant->key + len + 1, stream) == 0;
}

/* Keep an open image, or the one that is open already. Takes the descriptor over. */
static uint32_t keep_image(struct stream_cache *cache, int fd)
{
	struct stat st = {0};
	uint32_t oldest = 0;
	struct image *image;

	(void)!fstat(fd, &st);
	for (uint32_t i = 0; i < IMAGES_MAX; i++) {
		image = &cache->images[i];
		if (image->fd >= 0 && image->device == st.st_dev && image->inode == st.st_ino) {
			close(fd);
			return i;
		}
		if (cache->images[oldest].fd >= 0 && (image->fd < 0 || image->used < cache->images[oldest].used))
			oldest = i;
	}
	image = &cache->images[oldest];
	iot_close_p(&image->fd);
	*image = (struct image){.fd = fd, .device = st.st_dev, .inode = st.st_ino, .round = image->round + 1};
	return oldest;
}

static enum iot_status look_up(struct stream_cache *cache, struct grant *grant, const char *thing, const char *stream,
			       int file_id, struct iot_error *err)
{
	struct grant fresh = {.file_id = file_id, .generation = cache->generation};
	int fd = -1;
	enum iot_status status;

	free(iot_take(grant->key));
	status = cache->port->stream_open(cache->port->data, thing, stream, file_id, &fd, &fresh.size, &fresh.version,
					  err);
	if (status != IOT_OK)
		return status;
	fresh.image = keep_image(cache, fd);
	fresh.round = cache->images[fresh.image].round;
	fresh.valid_until = iot_monotonic_ms() + VALID_MS;
	fresh.key = iot_strf("%s/%s", thing, stream);
	*grant = fresh;
	return IOT_OK;
}

enum iot_status stream_cache_get(struct stream_cache *cache, const char *thing, const char *stream, int file_id,
				 struct stream_file *ret, struct iot_error *err)
{
	struct grant *grant = slot_of(cache, thing, stream, file_id);
	struct image *image;
	enum iot_status status;

	if (!is_of(grant, thing, stream, file_id) || grant->generation != cache->generation ||
	    grant->round != cache->images[grant->image].round || iot_monotonic_ms() >= grant->valid_until) {
		status = look_up(cache, grant, thing, stream, file_id, err);
		if (status != IOT_OK)
			return status;
	}
	image = &cache->images[grant->image];
	image->used = ++cache->lookups;
	*ret = (struct stream_file){.fd = image->fd, .size = grant->size, .version = grant->version};
	return IOT_OK;
}
