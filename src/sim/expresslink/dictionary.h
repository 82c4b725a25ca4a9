/*
 * The configuration dictionary (programmer's guide, "Configuration
 * dictionary"): which key holds what, who may read and write it, what a start
 * and a factory reset bring back. The keys are those of iotctl/expresslink.h.
 * Whether a certificate is acceptable is not judged here.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_DICTIONARY_H
#define IOTCTL_SIM_EXPRESSLINK_DICTIONARY_H

#include "iotctl/json.h"
#include "sim/expresslink/at_server.h"

enum { DICT_TOPICS = 16, DICT_SHADOWS = 4 }; /* MaxTopic and MaxShadow of our data sheet */

struct dictionary;

/* A key of this dictionary, as a command names it. */
struct dict_ref {
	const struct iot_el_key *key;
	int index; /* of Topic# and the like; else 0 */
};

struct dictionary *dict_new(enum at_spec spec);
void dict_free(struct dictionary *dict);

/* What a key starts with; a factory reset brings it back. Also its value until it has another. */
void dict_set_initial(struct dictionary *dict, const char *name, const char *value);

/* 0, or 9, 10, 11. */
enum at_error dict_find(const struct dictionary *dict, const char *name, size_t len, struct dict_ref *ret);
/* May a host write this value? 12, 4 (too long, not text, out of range), or 0. Changes nothing. */
enum at_error dict_check(const struct dictionary *dict, const struct dict_ref *ref, const char *value, size_t len);

/* Never NULL; borrowed until it is set again. Unknown names are "". */
const char *dict_get(const struct dictionary *dict, const struct dict_ref *ref);
const char *dict_value(const struct dictionary *dict, const char *name);
const char *dict_topic(const struct dictionary *dict, int index);
int64_t dict_number(const struct dictionary *dict, const char *name);
/* Set without asking. True when the value must be saved. */
bool dict_set(struct dictionary *dict, const struct dict_ref *ref, const char *value);
void dict_set_value(struct dictionary *dict, const char *name, const char *value);

/* A start: what does not persist is as new. */
void dict_restart(struct dictionary *dict);
void dict_factory_reset(struct dictionary *dict);

/* What must outlive a power cut. */
json_t *dict_save(const struct dictionary *dict);
void dict_load(struct dictionary *dict, const json_t *saved);

#endif
