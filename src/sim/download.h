/*
 * One file on its way into a slot: which blocks are there, which were asked for,
 * and a map on the disk from which a download goes on after a power cut. Knows
 * nothing of topics or time.
 */
#ifndef IOTCTL_SIM_DOWNLOAD_H
#define IOTCTL_SIM_DOWNLOAD_H

#include "iotctl/digest.h"
#include "iotctl/streamcbor.h"

struct sim_download;

struct sim_download_options {
	const char *slot_path; /* written in place */
	const char *map_path;
	uint32_t file_id;
	uint32_t size;        /* of the file, > 0 */
	uint32_t block_size;  /* IOT_STREAM_BLOCK_MIN to IOT_STREAM_BLOCK_MAX */
	uint32_t window;      /* blocks asked for and not yet there, >= 1 */
	const char *identity; /* what makes two downloads the same one: the signature */
};

enum sim_block { SIM_BLOCK_NEW, SIM_BLOCK_AGAIN, SIM_BLOCK_FOREIGN };

/*
 * Begin, or go on where the same download (identity, size, block size, slot)
 * was left. Anything else in the slot is overwritten.
 */
IOT_CHECK enum iot_status sim_download_new(const struct sim_download_options *options, struct sim_download **ret,
					   struct iot_error *err);
/* Saves the map first, as far as that goes. */
void sim_download_free(struct sim_download *download);

/*
 * Ask for more? True with a request for the next missing blocks when at least
 * half the window is free. The bitmap is borrowed until the next call.
 */
bool sim_download_next(struct sim_download *download, struct iot_stream_get *ret);
/* What was asked for will not come any more: it is asked for again. */
void sim_download_lost(struct sim_download *download);

/* A block arrived. Written, or ignored when it is not what was asked for (wrong file, number or length). */
IOT_CHECK enum iot_status sim_download_take(struct sim_download *download, const struct iot_stream_data *data,
					    enum sim_block *ret, struct iot_error *err);

uint32_t sim_download_blocks(const struct sim_download *download);
uint32_t sim_download_have(const struct sim_download *download);
uint32_t sim_download_outstanding(const struct sim_download *download);
bool sim_download_complete(const struct sim_download *download);
/* Everything on the disk, the map too. */
IOT_CHECK enum iot_status sim_download_sync(struct sim_download *download, struct iot_error *err);

#endif
