/*
 * The outbox, said to devices. A row is published with QoS 1 and deleted only
 * when the broker has acknowledged all that it stands for; whatever was on its
 * way when the connection went is said again. So nothing is lost, and something
 * may be said twice.
 *
 * A thing whose pending jobs changed hears of it on notify, and on notify-next
 * when its next job is another than before, as AWS IoT has it.
 *
 * A thing that connects and has not acknowledged its configuration is told it
 * again: soon, for those that stay only for a moment, and once more for those
 * that take long to subscribe.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"

#include <string.h>

enum {
	ROWS_MAX = 100, /* on their way at once */
	MIDS_MAX = 2 * ROWS_MAX,
	NEXT_SLOTS = 4096,         /* things whose next job is remembered; a power of 2 */
	RETRY_MS = 1000,           /* after the registry or the queue had no room */
	RETELL_WINDOW_MS = 300000, /* after the broker came up */
	RETELL_AFTER_MS = 3000,    /* after the thing came: it subscribes first */
	RETELL_MAX = 20000,
	CONFIG_AFTER_MS = 500, /* after the thing came, first */
};

struct row {
	int64_t id; /* 0: free */
	int left;   /* messages not yet acknowledged */
	uint64_t thing, next;
	bool tells_next; /* notify-next is among them */
	bool again;      /* not all could be said: the row stays */
};

struct retell {
	char *thing;
	int64_t due;
};

/* Oldest first: all of a queue wait for the same time. */
struct retells {
	struct retell *items;
	size_t start, count, cap;
};

struct notify {
	struct iot_cloud *cloud;
	const struct broker_port *port;
	struct iot_mqtt *mqtt; /* NULL: not connected */
	bool due;              /* there may be rows */
	int64_t retry;         /* monotonic ms; 0: no need */
	struct row rows[ROWS_MAX];
	int rows_used, rows_left; /* taken; of them not done */
	struct {
		int mid; /* -1: free */
		int row;
	} mids[MIDS_MAX];
	struct {
		uint64_t thing, next; /* hashes */
	} told[NEXT_SLOTS];
	struct retells jobs, configs, late_configs;
	int64_t retell_until; /* of jobs */
};

static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return hash;
}

static void forget_rows(struct notify *notify)
{
	memset(notify->rows, 0, sizeof(notify->rows));
	for (size_t i = 0; i < MIDS_MAX; i++)
		notify->mids[i].mid = -1;
	notify->rows_used = notify->rows_left = 0;
}

struct notify *notify_new(struct iot_cloud *cloud, const struct broker_port *port)
{
	struct notify *notify = iot_alloc(sizeof(*notify));

	notify->cloud = cloud;
	notify->port = port;
	forget_rows(notify);
	return notify;
}

static void drop_retells(struct retells *retells)
{
	for (size_t i = 0; i < retells->count; i++)
		free(retells->items[retells->start + i].thing);
	free(retells->items);
	*retells = (struct retells){0};
}

static void drop_all_retells(struct notify *notify)
{
	drop_retells(&notify->jobs);
	drop_retells(&notify->configs);
	drop_retells(&notify->late_configs);
}

void notify_free(struct notify *notify)
{
	if (notify == NULL)
		return;
	drop_all_retells(notify);
	free(notify);
}

void notify_up(struct notify *notify, struct iot_mqtt *mqtt)
{
	forget_rows(notify);
	notify->mqtt = mqtt;
	notify->due = true;
	notify->retry = 0;
	notify->retell_until = iot_monotonic_ms() + RETELL_WINDOW_MS;
}

void notify_down(struct notify *notify)
{
	notify->mqtt = NULL;
	drop_all_retells(notify);
}

void notify_wake(struct notify *notify)
{
	notify->due = true;
}

/* --- messages on their way --------------------------------------------------------------- */

static int place_of(const struct notify *notify, int64_t id)
{
	for (int i = 0; i < ROWS_MAX; i++)
		if (notify->rows[i].id == id)
			return i;
	return -1;
}

static void expect(struct notify *notify, int mid, int row)
{
	for (size_t i = 0; i < MIDS_MAX; i++) {
		if (notify->mids[i].mid < 0) {
			notify->mids[i].mid = mid;
			notify->mids[i].row = row;
			notify->rows[row].left++;
			return;
		}
	}
}

static void row_done(struct notify *notify, struct row *row)
{
	if (row->tells_next) {
		size_t slot = row->thing & (NEXT_SLOTS - 1);

		notify->told[slot].thing = row->thing;
		notify->told[slot].next = row->next;
	}
	if (--notify->rows_left == 0)
		notify->due = true;
}

void notify_published(struct notify *notify, int mid, int reason_code)
{
	for (size_t i = 0; i < MIDS_MAX; i++) {
		struct row *row = &notify->rows[notify->mids[i].row];

		if (notify->mids[i].mid != mid)
			continue;
		notify->mids[i].mid = -1;
		/* Saying it again would not help. */
		if (reason_code >= 128)
			iot_warn("mosquitto refused a message to devices with reason %d", reason_code);
		if (--row->left == 0)
			row_done(notify, row);
		return;
	}
}

/* --- saying a row ---------------------------------------------------------------------------- */

/* IOT_AGAIN: not now. Other faults are the message's own: it is given up. */
static enum iot_status publish(struct notify *notify, int row, const char *topic, const void *payload, size_t len,
			       int qos, bool retain)
{
	struct iot_error err = IOT_ERROR_INIT;
	int mid = -1;
	enum iot_status status = iot_mqtt_publish(notify->mqtt, topic, payload, len, qos, retain, &mid, &err);

	if (status == IOT_OK && row >= 0)
		expect(notify, mid, row);
	else if (status != IOT_OK && status != IOT_AGAIN)
		iot_log_error(IOT_LOG_WARNING, "a message to devices is given up: ", &err);
	return status;
}

static enum iot_status publish_json(struct notify *notify, int row, const char *thing, const char *what,
				    const json_t *payload)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("$aws/things/%s/jobs/%s", thing, what);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(payload);

	return publish(notify, row, topic, text, strlen(text), 1, false);
}

static bool was_told(const struct notify *notify, uint64_t thing, uint64_t next)
{
	size_t slot = thing & (NEXT_SLOTS - 1);

	return notify->told[slot].thing == thing && notify->told[slot].next == next;
}

/* row -1: nobody waits for the acknowledgement, and notify-next is said whatever was said before. */
static enum iot_status tell_jobs(struct notify *notify, int row, const char *thing)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON list = NULL;
	IOT_JSON next = NULL;
	IOT_CLEAN(iot_free_p) char *name = NULL;
	enum iot_status status = jobs_notice(notify->port, thing, &list, &next, &name, &err);

	if (status != IOT_OK) {
		if (status != IOT_NOT_FOUND) /* the thing is gone */
			iot_log_error(IOT_LOG_WARNING, "cannot tell a device of its jobs: ", &err);
		return status == IOT_NOT_FOUND ? IOT_NOT_FOUND : IOT_AGAIN;
	}
	if (row < 0 && name[0] == '\0')
		return IOT_OK;
	status = publish_json(notify, row, thing, "notify", list);
	if (row >= 0) {
		notify->rows[row].thing = hash_of(thing);
		notify->rows[row].next = hash_of(name);
		if (was_told(notify, notify->rows[row].thing, notify->rows[row].next))
			return status;
	}
	if (status == IOT_OK)
		status = publish_json(notify, row, thing, "notify-next", next);
	if (row >= 0)
		notify->rows[row].tells_next = status == IOT_OK;
	return status;
}

static enum iot_status say_new(struct notify *notify, const struct iot_outbox_row *row, int place)
{
	if (strcmp(row->kind, "jobs") == 0 && row->thing != NULL)
		return tell_jobs(notify, place, row->thing);
	if ((strcmp(row->kind, "publish") == 0 || strcmp(row->kind, "event") == 0) && row->topic != NULL)
		return publish(notify, place, row->topic, row->payload, row->payload_len, row->qos, row->retain);
	if (strcmp(row->kind, "claim") == 0 && row->topic != NULL) {
		if (notify->port->claimed != NULL)
			notify->port->claimed(notify->port->data, row->topic);
		return IOT_OK;
	}
	iot_warn("an outbox row of unknown kind '%s' is given up", row->kind);
	return IOT_USAGE;
}

/* True: the row is done with. */
static bool say(const struct iot_outbox_row *row, void *data)
{
	struct notify *notify = data;
	int place = place_of(notify, row->id);
	enum iot_status status;

	if (place >= 0) {
		bool again = notify->rows[place].again;

		if (notify->rows[place].left > 0)
			return false;
		notify->rows[place] = (struct row){0};
		notify->rows_used--;
		if (!again)
			return true;
	}
	if (notify->mqtt == NULL || notify->retry != 0 || notify->rows_used == ROWS_MAX)
		return false;
	place = place_of(notify, 0);
	status = say_new(notify, row, place);
	if (status == IOT_AGAIN)
		notify->retry = iot_monotonic_ms() + RETRY_MS;
	if (notify->rows[place].left > 0) {
		notify->rows[place].id = row->id;
		notify->rows[place].again = status == IOT_AGAIN;
		notify->rows_used++;
		notify->rows_left++;
		return false;
	}
	notify->rows[place] = (struct row){0};
	return status != IOT_AGAIN;
}

static void run_outbox(struct notify *notify)
{
	struct iot_error err = IOT_ERROR_INIT;
	int count = 0;

	do {
		notify->due = false;
		if (iot_local_outbox(notify->cloud, ROWS_MAX, say, notify, &count, &err) != IOT_OK) {
			iot_log_error(IOT_LOG_WARNING, "cannot read the outbox: ", &err);
			notify->retry = iot_monotonic_ms() + RETRY_MS;
			return;
		}
		/* What is done with made room for more. */
	} while (count > 0 && notify->mqtt != NULL && notify->retry == 0);
}

/* --- telling again ------------------------------------------------------------------------------ */

static void retell_later(struct retells *retells, const char *thing, int64_t due)
{
	if (retells->count == RETELL_MAX)
		return;
	if (retells->start + retells->count == retells->cap) {
		if (retells->start > retells->cap / 2) {
			memmove(retells->items, retells->items + retells->start,
				retells->count * sizeof(*retells->items));
			retells->start = 0;
		} else {
			retells->cap = retells->cap > 0 ? retells->cap * 2 : 64;
			retells->items = iot_realloc(retells->items, retells->cap * sizeof(*retells->items));
		}
	}
	retells->items[retells->start + retells->count++] = (struct retell){iot_strdup(thing), due};
}

/* The thing that is due, new memory; NULL: none is. */
static char *take_due(struct retells *retells, int64_t now)
{
	char *thing;

	if (retells->count == 0 || retells->items[retells->start].due > now)
		return NULL;
	thing = retells->items[retells->start++].thing;
	if (--retells->count == 0)
		retells->start = 0;
	return thing;
}

void notify_connected(struct notify *notify, const char *thing)
{
	int64_t now = iot_monotonic_ms();

	if (notify->mqtt == NULL)
		return;
	retell_later(&notify->configs, thing, now + CONFIG_AFTER_MS);
	if (now < notify->retell_until)
		retell_later(&notify->jobs, thing, now + RETELL_AFTER_MS);
}

/*
 * What the broker does not keep for it may come before the thing has subscribed: one that acknowledges gets it again,
 * one that does not gets it only then.
 */
static void tell_config(struct notify *notify, const char *thing, bool late)
{
	IOT_CLEAN(iot_config_message_release) struct iot_config_message message = {0};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_local_config_due(notify->cloud, thing, &message, &err);
	bool now = late || message.acknowledged || message.retain;

	if (status != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot tell a device its configuration: ", &err);
	else if (message.topic == NULL)
		return;
	else if (now)
		status = publish(notify, -1, message.topic, message.payload, strlen(message.payload), message.qos,
				 message.retain);
	if (status == IOT_AGAIN || (!late && (message.acknowledged || !now)))
		retell_later(&notify->late_configs, thing, iot_monotonic_ms() + RETELL_AFTER_MS);
}

static void run_retells(struct notify *notify)
{
	int64_t now = iot_monotonic_ms();
	char *thing;

	for (; (thing = take_due(&notify->jobs, now)) != NULL; free(thing))
		(void)tell_jobs(notify, -1, thing);
	for (; (thing = take_due(&notify->configs, now)) != NULL; free(thing))
		tell_config(notify, thing, false);
	for (; (thing = take_due(&notify->late_configs, now)) != NULL; free(thing))
		tell_config(notify, thing, true);
}

static int64_t next_retell(const struct notify *notify)
{
	const struct retells *const all[] = {&notify->jobs, &notify->configs, &notify->late_configs};
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < IOT_LENGTH(all); i++)
		if (all[i]->count > 0 && all[i]->items[all[i]->start].due < next)
			next = all[i]->items[all[i]->start].due;
	return next;
}

int64_t notify_run(struct notify *notify)
{
	int64_t next = INT64_MAX;

	if (notify->mqtt == NULL)
		return next;
	if (notify->retry != 0 && iot_monotonic_ms() >= notify->retry) {
		notify->retry = 0;
		notify->due = true;
	}
	if (notify->due)
		run_outbox(notify);
	run_retells(notify);
	if (notify->retry != 0)
		next = notify->retry;
	return next < next_retell(notify) ? next : next_retell(notify);
}
