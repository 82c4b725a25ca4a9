/* Shared by the commands: which fleet, its cloud, and small printing helpers. */
#ifndef IOTCTL_COMMAND_CONTEXT_H
#define IOTCTL_COMMAND_CONTEXT_H

#include "iotctl/base.h"
#include "iotctl/cli.h"
#include "iotctl/cloud.h"
#include "iotctl/json.h"
#include "iotctl/messaging.h"

struct command_profile;

/* What the hooks opened for a command (ctx->data). */
struct command_data {
	char *fleet_dir;                        /* of CLI_NEEDS_FLEET and CLI_NEEDS_CLOUD on the local cloud */
	struct iot_cloud *cloud;                /* of CLI_NEEDS_CLOUD */
	struct command_profile *profile;        /* of an operator; NULL until it is needed */
	struct iot_messaging_operator identity; /* the same for the broker */
	char *broker;                           /* where that is at AWS; NULL until it was asked for */
};

static inline struct iot_cloud *command_cloud(const struct cli_context *ctx)
{
	return ((struct command_data *)ctx->data)->cloud;
}

static inline const char *command_fleet(const struct cli_context *ctx)
{
	return ((struct command_data *)ctx->data)->fleet_dir;
}

/* A command that needs the cloud only sometimes says so in its row, and opens it when it does. */
#define COMMAND_NEEDS_CLOUD_LATER (1U << 9)
#define COMMAND_NEEDS_FLEET_LATER (1U << 10)
IOT_CHECK enum iot_status command_open_cloud(struct cli_context *ctx, struct iot_error *err);

/* The same for a command that needs the folder of a local fleet sometimes: command_fleet() then. */
IOT_CHECK enum iot_status command_find_fleet(struct cli_context *ctx, struct iot_error *err);

/*
 * Where to connect for messages: as a device from its folder (`as`, may be NULL), as the operator of the profile, or on
 * the fleet's own machine. What it points to lives as long as the command.
 */
IOT_CHECK enum iot_status command_messaging(struct cli_context *ctx, const char *as, struct iot_messaging_where *ret,
					    struct iot_error *err);

/* A cloud of the settings that is the caller's own, for a process of its own: of the fleet directory, or at AWS. */
IOT_CHECK enum iot_status command_new_cloud(struct cli_context *ctx, struct iot_cloud **ret, struct iot_error *err);

/*
 * As whom lifecycle events are heard at AWS: the profile's operator, if there is one with a broker and a certificate;
 * *ret_any says so. What *ret points to lives as long as the command.
 */
IOT_CHECK enum iot_status command_watcher(struct cli_context *ctx, struct iot_messaging_where *ret, bool *ret_any,
					  struct iot_error *err);

/*
 * At AWS: the local fleet of the settings, whose CA is to issue certificates. *ret stays NULL on other clouds, and
 * where there is no such fleet, unless it is `needed`. The caller frees it.
 */
IOT_CHECK enum iot_status command_issuer(struct cli_context *ctx, bool needed, struct iot_cloud **ret,
					 struct iot_error *err);

/* Option --issuer, at AWS. */
enum { ISSUER_AUTO, ISSUER_FLEET, ISSUER_AWS };
#define OPT_ISSUER(type, member)                                                                                       \
	OPT_ENUM(0, "issuer", "WHO", type, member,                                                                     \
		 "at AWS: whose CA makes the certificate; auto: that of the fleet folder, where there is one",         \
		 .choices = CLI_CHOICES("auto", "fleet", "aws"), .fallback = "auto")

/* Directory of a fleet given by name or path; new memory. */
char *command_fleet_dir(const char *name_or_path);

/* The items as the library takes them: NULL-terminated, or NULL for none. Borrowed. */
static inline const char *const *command_list(const struct cli_list *list)
{
	return list->count > 0 ? list->items : NULL;
}

/*
 * A list of devices in a file: one name per line; empty lines and what follows a # are skipped. Appended to *names,
 * which has room for a NULL behind the last one; they point into `text`. IOT_USAGE: there is none.
 */
#define COMMAND_NAMES_MAX (16 * 1024 * 1024) /* bytes of it */
IOT_CHECK enum iot_status command_read_names(const char *path, struct iot_buf *text, const char ***names, size_t *count,
					     struct iot_error *err);

/* Journal of provisioning: one for each profile, since a station works for one fleet at a time. New memory. */
char *command_journal_path(const struct cli_context *ctx);

/* What use-cases ask and tell while they work; `data` is the context. */
bool command_interrupted(void *data);
void command_show_step(const char *step, void *data);
void command_show_progress(int64_t done, int64_t total, const char *text, void *data);

/* Option --pulse; the choices are in the order of enum iot_serial_pulse. */
#define OPT_PULSE(type, member)                                                                                        \
	OPT_ENUM(0, "pulse", "LINE", type, member, "reset the board by this line first",                               \
		 .choices = CLI_CHOICES("none", "dtr", "rts"), .fallback = "none")

/* Devices hear of something new, and boards connect, only while serve runs. */
bool command_is_unserved(const struct cli_context *ctx);
void command_warn_unserved(const struct cli_context *ctx);

/* One call, its reply printed; `request` is released. */
IOT_CHECK enum iot_status command_call(struct cli_context *ctx, const char *operation, json_t *request,
				       json_t **ret_reply, struct iot_error *err);

/* A paged list printed row by row: member `items` of each reply. `request` (may be NULL) is released. */
IOT_CHECK enum iot_status command_print_list(struct cli_context *ctx, const char *operation, json_t *request,
					     const char *items, const struct output_column *columns,
					     struct iot_error *err);

/* Does a person look at the result, as a table or in a spreadsheet, rather than a program? */
bool command_wants_rows(const struct cli_context *ctx);

/* A nested document: for people it is shown as JSON, not as a table. */
IOT_CHECK enum iot_status command_print_document(struct cli_context *ctx, const json_t *document,
						 struct iot_error *err);

/* Member policyDocument of a reply for people, as it was written; else the whole record. */
IOT_CHECK enum iot_status command_print_policy(struct cli_context *ctx, const json_t *reply,
					       const struct output_column *columns, struct iot_error *err);

/* What a list does not say of an item is added to it before it is printed. */
typedef enum iot_status (*command_complete_fn)(struct cli_context *ctx, json_t *item, struct iot_error *err);
IOT_CHECK enum iot_status command_print_pages(struct cli_context *ctx, const char *operation, json_t *request,
					      const char *items, command_complete_fn complete,
					      const struct output_column *columns, struct iot_error *err);

/* One call and its reply as one record. `request` is released. */
IOT_CHECK enum iot_status command_print_call(struct cli_context *ctx, const char *operation, json_t *request,
					     const struct output_column *columns, struct iot_error *err);

#endif
