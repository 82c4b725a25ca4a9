/*
 * A download in blocks. The map on the disk only ever names blocks that were
 * synced before it; it is saved every SAVE_BLOCKS blocks, but no more than SAVES
 * times, and so many blocks at most are lost by a kill. What it belongs to is part
 * of it: a map of another image, or of the same image with another block size, is
 * thrown away.
 *
 * The first map is written whole or not at all. After that its bits only go from
 * 0 to 1, so it is overwritten in place and left to the system to sync: whatever
 * part of it survives a power cut is true, and the rest comes again.
 */
#include "sim/download.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "sim/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	SAVE_BLOCKS = 256,
	SAVES = 8,
	MAGIC_SIZE = 8,
	HEAD_SIZE = MAGIC_SIZE + IOT_SHA256_SIZE,
	ANSWER_MAX = 128 * 1024, /* one request is never answered with more */
};
static const char magic[MAGIC_SIZE + 1] = "IOTMAP1\n";

struct sim_download {
	struct sim_download_options options; /* texts not kept */
	char *map_path;
	int fd, map_fd; /* map_fd -1: no map of this download is there yet */
	uint32_t blocks, have, outstanding, unsaved, save_every;
	uint32_t first_missing; /* nothing is missing before it */
	size_t map_len;
	uint8_t identity[IOT_SHA256_SIZE];
	uint8_t *present, *asked, *request; /* bitmaps: bit 0 of byte 0 is block 0 */
};

static bool bit(const uint8_t *map, uint32_t n)
{
	return (map[n / 8] >> (n % 8) & 1) != 0;
}

static void set_bit(uint8_t *map, uint32_t n)
{
	map[n / 8] = (uint8_t)(map[n / 8] | 1U << (n % 8));
}

static void clear_bit(uint8_t *map, uint32_t n)
{
	map[n / 8] = (uint8_t)(map[n / 8] & ~(1U << (n % 8)));
}

static uint32_t block_length(const struct sim_download *d, uint32_t block)
{
	return block + 1 < d->blocks ? d->options.block_size : d->options.size - block * d->options.block_size;
}

static void make_identity(struct sim_download *d)
{
	IOT_CLEAN(iot_free_p)
	char *text = iot_strf("%s\n%s\n%u\n%u\n", d->options.identity, d->options.slot_path, d->options.size,
			      d->options.block_size);

	iot_sha256(text, strlen(text), d->identity);
}

/* The map of an earlier start, if it is this download's. */
static bool load_map(struct sim_download *d)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(HEAD_SIZE + d->map_len);

	if (iot_fs_read(d->map_path, &buf, NULL) != IOT_OK || buf.len != HEAD_SIZE + d->map_len ||
	    memcmp(buf.data, magic, MAGIC_SIZE) != 0 ||
	    memcmp(buf.data + MAGIC_SIZE, d->identity, sizeof(d->identity)) != 0)
		return false;
	memcpy(d->present, buf.data + HEAD_SIZE, d->map_len);
	for (uint32_t i = 0; i < d->blocks; i++)
		d->have += bit(d->present, i);
	return true;
}

static enum iot_status open_slot(struct sim_download *d, struct iot_error *err)
{
	const char *path = d->options.slot_path;
	bool resumed = iot_fs_exists(path) && load_map(d);
	enum iot_status status = IOT_OK;
	off_t size;

	if (!resumed)
		status = iot_fs_remove(d->map_path, err);
	if (status != IOT_OK)
		return status;
	if (sim_slots_step_hook != NULL)
		sim_slots_step_hook("old map removed");
	d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (resumed ? 0 : O_TRUNC), 0644);
	if (d->fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write slot '%s'", path);
	size = lseek(d->fd, 0, SEEK_END);
	if (resumed && size != (off_t)d->options.size) {
		memset(d->present, 0, d->map_len);
		d->have = 0;
	}
	if (size != (off_t)d->options.size && ftruncate(d->fd, d->options.size) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write slot '%s'", path);
	return IOT_OK;
}

enum iot_status sim_download_new(const struct sim_download_options *options, struct sim_download **ret,
				 struct iot_error *err)
{
	struct sim_download *d = iot_alloc(sizeof(*d));
	enum iot_status status;

	d->options = *options;
	d->fd = d->map_fd = -1;
	d->map_path = iot_strdup(options->map_path);
	d->blocks = (uint32_t)(((uint64_t)options->size + options->block_size - 1) / options->block_size);
	d->save_every = d->blocks / SAVES > SAVE_BLOCKS ? d->blocks / SAVES : SAVE_BLOCKS;
	d->map_len = (d->blocks + 7) / 8;
	d->present = iot_alloc(d->map_len);
	d->asked = iot_alloc(d->map_len);
	d->request = iot_alloc(d->map_len + 1);
	make_identity(d);
	status = open_slot(d, err);
	d->options.slot_path = d->options.map_path = d->options.identity = NULL;
	if (status != IOT_OK) {
		sim_download_free(d);
		return status;
	}
	*ret = d;
	return IOT_OK;
}

void sim_download_free(struct sim_download *d)
{
	if (d == NULL)
		return;
	if (d->fd >= 0 && d->unsaved > 0 && sim_download_sync(d, NULL) != IOT_OK)
		d->unsaved = 0; /* the blocks since the last map are asked for again */
	iot_close_p(&d->fd);
	iot_close_p(&d->map_fd);
	free(d->map_path);
	free(d->present);
	free(d->asked);
	free(d->request);
	free(d);
}

static enum iot_status create_map(struct sim_download *d, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(HEAD_SIZE + d->map_len);
	enum iot_status status;

	iot_buf_add(&buf, magic, MAGIC_SIZE);
	iot_buf_add(&buf, d->identity, sizeof(d->identity));
	iot_buf_add(&buf, d->present, d->map_len);
	status = iot_fs_write(d->map_path, 0644, buf.data, buf.len, err);
	if (status != IOT_OK)
		return status;
	d->map_fd = open(d->map_path, O_WRONLY | O_CLOEXEC);
	return d->map_fd >= 0 ? IOT_OK
			      : iot_fail_errno(err, IOT_FAILURE, errno, "cannot write the map '%s'", d->map_path);
}

/* Every byte at its place, or -1 and errno. */
static int write_at(int fd, const uint8_t *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static enum iot_status save(struct sim_download *d, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (fdatasync(d->fd) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write to the slot");
	if (d->map_fd < 0)
		status = create_map(d, err);
	else if (write_at(d->map_fd, d->present, d->map_len, HEAD_SIZE) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write the map '%s'", d->map_path);
	if (status == IOT_OK)
		d->unsaved = 0;
	if (sim_slots_step_hook != NULL)
		sim_slots_step_hook("map");
	return status;
}

enum iot_status sim_download_sync(struct sim_download *d, struct iot_error *err)
{
	enum iot_status status = save(d, err);

	if (status == IOT_OK && fdatasync(d->map_fd) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write the map '%s'", d->map_path);
	return status;
}

/* How many blocks one request may ask for: half of the window must be free before it is worth one. */
static uint32_t room(const struct sim_download *d)
{
	uint32_t window = d->options.window, most = ANSWER_MAX / d->options.block_size;
	uint32_t room_now = window > d->outstanding ? window - d->outstanding : 0;

	if (room_now < (window + 1) / 2)
		return 0;
	return room_now < most ? room_now : most;
}

bool sim_download_next(struct sim_download *d, struct iot_stream_get *ret)
{
	uint32_t want = room(d), first = 0, last = 0, count = 0;

	while (d->first_missing < d->blocks && bit(d->present, d->first_missing))
		d->first_missing++;
	if (want == 0)
		return false;
	for (uint32_t i = d->first_missing; i < d->blocks && count < want; i++) {
		if (bit(d->present, i) || bit(d->asked, i))
			continue;
		if (count++ == 0) {
			first = i;
			memset(d->request, 0, d->map_len + 1);
		}
		if (i - first >= IOT_STREAM_BITMAP_MAX * 8) {
			count--;
			break;
		}
		set_bit(d->request, i - first);
		set_bit(d->asked, i);
		last = i;
	}
	if (count == 0)
		return false;
	d->outstanding += count;
	*ret = (struct iot_stream_get){
		.token = "rdy",
		.token_len = 3,
		.bitmap = d->request,
		.bitmap_len = (last - first) / 8 + 1,
		.has_file = true,
		.has_size = true,
		.has_offset = true,
		.has_count = true,
		.file = d->options.file_id,
		.size = d->options.block_size,
		.offset = first,
		.count = count,
	};
	return true;
}

void sim_download_lost(struct sim_download *d)
{
	memset(d->asked, 0, d->map_len);
	d->outstanding = 0;
}

enum iot_status sim_download_take(struct sim_download *d, const struct iot_stream_data *data, enum sim_block *ret,
				  struct iot_error *err)
{
	uint32_t block = data->block;

	*ret = SIM_BLOCK_FOREIGN;
	if (data->file != d->options.file_id || block >= d->blocks || data->payload_len != block_length(d, block))
		return IOT_OK;
	*ret = SIM_BLOCK_AGAIN;
	if (bit(d->present, block))
		return IOT_OK;
	if (write_at(d->fd, data->payload, data->payload_len, (off_t)block * d->options.block_size) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write to the slot");
	set_bit(d->present, block);
	d->have++;
	if (bit(d->asked, block)) {
		clear_bit(d->asked, block);
		d->outstanding--;
	}
	*ret = SIM_BLOCK_NEW;
	if (++d->unsaved >= d->save_every)
		return save(d, err);
	return IOT_OK;
}

uint32_t sim_download_blocks(const struct sim_download *d)
{
	return d->blocks;
}

uint32_t sim_download_have(const struct sim_download *d)
{
	return d->have;
}

uint32_t sim_download_outstanding(const struct sim_download *d)
{
	return d->outstanding;
}

bool sim_download_complete(const struct sim_download *d)
{
	return d->have == d->blocks;
}
