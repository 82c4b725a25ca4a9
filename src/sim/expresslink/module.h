/*
 * The module's inside, shared by its parts. module.c: life, from power on to a
 * reset, and answers; commands.c: the table of commands; conf_commands.c:
 * CONF; connection.c: the way to the broker; messaging.c: SEND, SUBSCRIBE, GET;
 * shadow_commands.c; ota.c: jobs and downloads; ota_install.c: what becomes of a
 * file; ota_commands.c: AT+OTA; state.c: flash; pty.c: the wire; faults.c.
 *
 * One command at a time: a command that cannot be answered at once sets
 * `pending`, and bytes wait until it is.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_MODULE_H
#define IOTCTL_SIM_EXPRESSLINK_MODULE_H

#include "iotctl/image.h"
#include "iotctl/mqtt.h"
#include "iotctl/sim.h"
#include "sim/download.h"
#include "sim/expresslink/dictionary.h"
#include "sim/expresslink/events.h"
#include "sim/expresslink/faults.h"
#include "sim/jobdoc.h"

enum {
	MODULE_MESSAGES = 16, /* received and not yet fetched */
	MODULE_MESSAGE_MAX = 9 * 1024,
	MODULE_OTA_READ = 4096, /* MaxOTARead of our data sheet */
	MODULE_ANSWER_MAX = 256 * 1024,
	MODULE_NAME_MAX = 128,
};

enum module_pending {
	PENDING_NONE,
	PENDING_CONNECT, /* AT+CONNECT */
	PENDING_SEND,    /* AT+SEND at QoS 1 */
	PENDING_EVENT,   /* AT+EVENT! */
	PENDING_PEM      /* the lines after KEY=pem */
};

enum link_state { LINK_OFF, LINK_CONNECTING, LINK_REGISTERING, LINK_UP };

struct module_message {
	char *topic;
	int index; /* 0: no topic of the table */
	struct iot_buf payload;
};

/* One shadow's conversation. */
enum shadow_what { SHADOW_DOC, SHADOW_UPDATE, SHADOW_DELETE, SHADOW_DELTA, SHADOW_WHATS };
struct module_shadow {
	bool ready, deltas; /* INIT succeeded; SUBSCRIBE succeeded */
	int init_mid[2], delta_mid;
	bool init_granted[2], init_done[2];
	struct {
		bool there, accepted;
		char *document;
	} answers[SHADOW_WHATS];
};

/* An update on its way. What must survive a power cut is in state.json. */
struct module_ota {
	enum iot_el_ota state;
	struct sim_job job;
	char *document; /* of the job, for OTA? DOC */
	uint32_t read_at;
	bool applying; /* the next start runs the image */

	struct sim_download *download;
	char *data_topic;
	int64_t blocks_due;
	int stalls;

	/* A request to the Jobs service, repeated until it is answered. */
	char *topic, *payload;
	char token[48];
	unsigned tokens;
	int tries;
	int64_t due;

	struct sim_report report; /* the end of a job, until the cloud has taken it */
};

struct module {
	struct iot_sim_expresslink_options options; /* texts borrowed from the caller for the whole run */
	enum at_spec spec;
	void (*event)(const char *name, const char *detail, void *data);
	void *event_data;

	char *dir; /* the state folder */
	int lock_fd;
	char thing[MODULE_NAME_MAX + 1];
	char *staging;
	struct iot_sim_firmware firmware;
	char *cert_file, *key_file, *ca_file;
	struct iot_buf wifi_password; /* of the network in reach; empty: it takes any */

	struct dictionary *dict;
	struct at_events events;
	struct at_server server;
	struct at_pem_reader pem;
	struct dict_ref pem_key;
	struct module_faults faults;

	enum module_pending pending;
	int64_t pending_until;
	int pending_mid;
	bool line_hold;        /* an answer is under way: no further command yet */
	int64_t answer_due;    /* 0: nothing held back */
	struct iot_buf answer; /* held back until answer_due */
	struct iot_buf out;    /* for the wire */
	int64_t exec_ms;       /* of the command being carried out */
	char command[48];      /* being carried out: for faults, exec times and the log */
	bool reset_due;        /* once the answer is on its way */
	bool in_confmode;
	int64_t confmode_until, wake_at; /* 0: not */
	bool asleep;
	int64_t started_at;
	bool knows_time;

	struct iot_mqtt *mqtt;
	enum link_state link;
	bool customer;  /* of the connection */
	bool announce;  /* the outcome of CONNECT! is an event */
	bool drop_link; /* end the connection as soon as that is possible */
	int register_mid;
	int64_t io_at;
	int64_t backoff_until;

	char *filters[DICT_TOPICS + 1]; /* what was subscribed to, by topic index */
	int filter_mids[DICT_TOPICS + 1];
	struct module_message messages[MODULE_MESSAGES];
	size_t message_first, message_count;

	struct module_shadow shadows[DICT_SHADOWS + 1]; /* 0: the classic one */
	struct module_ota ota;
};

/* module.c */
IOT_CHECK enum iot_status module_new(const struct iot_sim_expresslink_options *options,
				     void (*event)(const char *name, const char *detail, void *data), void *data,
				     struct module **ret, struct iot_error *err);
void module_free(struct module *module);
/* Bytes from the host. Returns how many were taken: fewer while a command is under way. */
size_t module_feed(struct module *module, const char *data, size_t len);
/* Time has come, or not. */
void module_tick(struct module *module);
int64_t module_deadline(const struct module *module);
/* Start again, as after RESET. */
void module_reset(struct module *module);
void module_say(struct module *module, const char *name, const char *fmt, ...) IOT_PRINTF(3, 4);
void module_raise(struct module *module, int event, unsigned param, const char *detail);
/* Answers: each ends the command. */
void module_ok(struct module *module, const char *fmt, ...) IOT_PRINTF(2, 3);
void module_ok_data(struct module *module, const char *prefix, const void *data, size_t len); /* escaped */
void module_ok_more(struct module *module, const char *first, const void *more, size_t len);  /* OK1 FIRST, a line */
void module_error(struct module *module, enum at_error error);
void module_error_text(struct module *module, enum at_error error, const char *front, const char *detail);
/* Lines as they are; `lines` of them follow the first. */
void module_ok_lines(struct module *module, size_t lines, const char *word, const struct iot_buf *text);
void module_fail_pending(struct module *module, enum at_error error);

/* commands.c */
void module_command(struct module *module, const struct at_command *command);
void module_event_ready(struct module *module); /* answers EVENT! */

/* conf_commands.c */
void conf_read(struct module *module, const struct at_command *command);
void conf_write(struct module *module, const struct at_command *command);
void conf_pem_done(struct module *module, enum at_pem outcome);
/* Judge a certificate for one of the three keys and bring it into the usual form. 0, 23 or 26. */
enum at_error conf_certificate(const struct module *module, const char *key, const char *text, size_t len,
			       struct iot_buf *ret);

/* connection.c */
void link_connect(struct module *module, const struct at_command *command);
void link_connect_async(struct module *module, const struct at_command *command);
void link_status(struct module *module, const struct at_command *command);
void link_disconnect(struct module *module, const struct at_command *command);
/* Close without a word to the host but CONLOST, if it was up. */
void link_close(struct module *module);
void link_tick(struct module *module, int64_t now);
int64_t link_deadline(const struct module *module);
bool link_publish(struct module *module, const char *topic, const void *payload, size_t len, int qos, int *ret_mid);
bool link_subscribe(struct module *module, const char *filter, int qos, int *ret_mid);
/* Is this the endpoint that the module left the factory with? */
bool link_is_staging(const struct module *module);

/* messaging.c */
void message_send(struct module *module, const struct at_command *command);
void message_get(struct module *module, const struct at_command *command);
void message_subscribe(struct module *module, const struct at_command *command);
void message_unsubscribe(struct module *module, const struct at_command *command);
void message_arrived(struct module *module, const char *topic, const void *payload, size_t len);
bool message_subscribed(struct module *module, int mid, bool granted); /* true: it was ours */
void message_forget(struct module *module, bool received_too);

/* shadow_commands.c */
void shadow_command(struct module *module, const struct at_command *command);
bool shadow_arrived(struct module *module, const char *topic, const void *payload, size_t len);
bool shadow_subscribed(struct module *module, int mid, bool granted);
void shadow_forget(struct module *module);

/* ota.c */
void ota_online(struct module *module);
void ota_offline(struct module *module);
bool ota_arrived(struct module *module, const char *topic, const void *payload, size_t len);
void ota_tick(struct module *module, int64_t now);
int64_t ota_deadline(const struct module *module);
void ota_accept(struct module *module);
void ota_finish(struct module *module, bool good, const char *reason); /* report, and be idle */
void ota_restart(struct module *module);                               /* after a start: what the flash says goes on */
void ota_release(struct module *module);
void ota_set_state(struct module *module, enum iot_el_ota state);
char *ota_image_path(const struct module *module);
char *ota_map_path(const struct module *module);

/* ota_install.c */
void ota_downloaded(struct module *module);
void ota_apply(struct module *module); /* a module image that is ready; resets */
void ota_boot(struct module *module);  /* after that reset */

/* ota_commands.c */
void ota_query(struct module *module, const struct at_command *command);
void ota_command(struct module *module, const struct at_command *command);

/* state.c */
IOT_CHECK enum iot_status state_open(struct module *module, struct iot_error *err);
void state_save(struct module *module);
void state_factory_reset(struct module *module);

#endif
