/*
 * Misbehaviour of the module and of the wire, to be seen by whoever talks to it.
 * The dice are seeded, so the same run misbehaves in the same way. A fault of the
 * wire or of answers may be aimed: it is on only while one command is heard and
 * answered.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_FAULTS_H
#define IOTCTL_SIM_EXPRESSLINK_FAULTS_H

#include "iotctl/buf.h"

#include <stdint.h>

enum { FAULT_COUNT_MAX = 32 };

enum fault_kind {
	FAULT_DROP,   /* of the wire, both ways: bytes are lost, */
	FAULT_DOUBLE, /* said twice, */
	FAULT_FLIP,   /* one bit of theirs is turned; */
	FAULT_SPEED,  /* the line runs at another rate */
	FAULT_NOISE,  /* garbage before an answer */
	FAULT_SILENCE,
	FAULT_SILENCE_IN_PEM, /* an answer stops in the middle: any, one that holds a certificate */
	FAULT_SLOW,
	FAULT_LITERAL_PEM, /* stores the word pem, as early firmware did */
	FAULT_BACKOFF,     /* refuses to connect so soon after a failure */
	FAULT_ERR,
	FAULT_RESET
};

struct module_fault {
	enum fault_kind kind;
	double probability;
	int64_t time_ms;
	int error;
	char *command; /* front of a command line without AT+, case does not count; NULL: not aimed */
	int64_t nth;   /* only this time that it is heard; 0: each time */
	int64_t heard;
	bool on;
};

struct module_faults {
	uint64_t dice;
	struct module_fault list[FAULT_COUNT_MAX];
	size_t count;
	bool aimed;      /* some fault of the wire is */
	char struck[96]; /* after faults_hear(): which of them were switched on by this line; "" none */
};

/* Words for usage messages. */
#define FAULT_WORDS                                                                                                    \
	"noise[=P], drop=P, double=P, flip=P, wrong-speed, silence, silence-in-pem or slow=TIME, each with "           \
	"[@COMMAND[#N]]; literal-pem, backoff=TIME, err=COMMAND[#N]:CODE or reset=COMMAND[#N]"

void faults_init(struct module_faults *faults, uint64_t seed);
IOT_CHECK enum iot_status faults_add(struct module_faults *faults, const char *text, struct iot_error *err);
void faults_release(struct module_faults *faults);

/*
 * What the host says, as the wire brings it: appended to `out`. Returns how many bytes were taken: all of them; when a
 * fault is aimed only whole lines, and one at a time, so that what it is aimed at is heard and answered alone.
 */
size_t faults_hear(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out);
/* What the module says, as the wire brings it. */
void faults_say(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out);
/* Noise before an answer, perhaps. */
void faults_noise(struct module_faults *faults, struct iot_buf *out);
/* How much of an answer is said. */
size_t faults_cut(const struct module_faults *faults, const struct iot_buf *answer);
/* How late an answer is. */
int64_t faults_delay_ms(const struct module_faults *faults);
int64_t faults_backoff_ms(const struct module_faults *faults);
bool faults_literal_pem(const struct module_faults *faults);
/* What happens to a command: 0 nothing, > 0 this error, -1 a reset. */
int faults_command(struct module_faults *faults, const char *line, size_t len);

#endif
