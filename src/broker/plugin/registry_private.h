/* Between the files that read the registry: registry.c has the file, grants.c what clients may do by it. */
#ifndef IOTCTL_PLUGIN_REGISTRY_PRIVATE_H
#define IOTCTL_PLUGIN_REGISTRY_PRIVATE_H

#include "plugin.h"

#define REGISTRY_BUCKETS 256

/* A topic on which services must know who says what. */
struct heard {
	char *filter;
	int thing_level;
};

struct registry {
	char *path;
	struct iot_store *store; /* NULL: could not be opened again */
	dev_t device;
	ino_t inode;
	int64_t opening; /* how often the file was opened */
	int64_t data_version, epoch, generation;
	bool suspect;
	struct document *documents[REGISTRY_BUCKETS];
	size_t document_count;
	struct heard *heard;
	size_t heard_count;
};

/* grants.c: all compiled policies, whether they are used or not. */
void registry_free_documents(struct registry *registry);

#endif
