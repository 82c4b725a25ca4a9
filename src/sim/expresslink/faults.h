/*
 * Misbehaviour of the module and of the wire, to be seen by whoever talks to it.
 * The dice are seeded, so the same run misbehaves in the same way.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_FAULTS_H
#define IOTCTL_SIM_EXPRESSLINK_FAULTS_H

#include "iotctl/buf.h"

#include <stdint.h>

enum { FAULT_COMMANDS_MAX = 16 };

struct module_faults {
	uint64_t dice;
	double noise, drop, twice; /* probabilities: of noise before an answer, of a byte lost, of a byte doubled */
	bool silence_in_pem;       /* stops in the middle of a PEM that it prints */
	bool wrong_speed;          /* the line runs at another rate */
	bool literal_pem;          /* stores the word pem, as early firmware did */
	int64_t slow_ms;           /* each answer is so late */
	int64_t backoff_ms;        /* refuses to connect so soon after a failure */
	struct {
		char *command; /* front of a command line, without AT+; case does not count */
		int error;     /* that it answers with; 0: it resets instead */
		bool spent;    /* a reset happens once */
	} commands[FAULT_COMMANDS_MAX];
	size_t command_count;
};

/* Words for usage messages. */
#define FAULT_WORDS                                                                                                    \
	"noise[=P], drop=P, double=P, silence-in-pem, wrong-speed, literal-pem, slow=TIME, backoff=TIME, "             \
	"err=COMMAND:CODE or reset=COMMAND"

void faults_init(struct module_faults *faults, uint64_t seed);
IOT_CHECK enum iot_status faults_add(struct module_faults *faults, const char *text, struct iot_error *err);
void faults_release(struct module_faults *faults);

/* What a run of bytes becomes on the wire, in either direction; appended. */
void faults_wire(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out);
/* Noise, perhaps. */
void faults_noise(struct module_faults *faults, struct iot_buf *out);
/* What happens to a command: 0 nothing, > 0 this error, -1 a reset. */
int faults_command(struct module_faults *faults, const char *line, size_t len);

#endif
