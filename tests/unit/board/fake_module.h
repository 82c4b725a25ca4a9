/*
 * A little ExpressLink module on a pty, for tests: its own thread, its own
 * reading of the protocol (none of the tool's functions), and faults that are
 * easy to aim. Answers as v1.1 unless told otherwise.
 */
#ifndef IOTCTL_TEST_FAKE_MODULE_H
#define IOTCTL_TEST_FAKE_MODULE_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define FAKE_KEYS 16

struct fake_key {
	const char *name;
	char value[8192];
	bool writable, readable;
};

struct fake_module {
	/* Set before fake_start. */
	bool old;                               /* v0.5: LF, "OK pem" without a count, CONNECT? with one number */
	bool uncounted;                         /* "OK pem" although not old */
	bool no_one_line_pem;                   /* ERR4 for a certificate on one line, both ways */
	bool prompts;                           /* OK before a paste, OK COMPLETE after it */
	bool echo;                              /* a terminal's habit */
	bool other;                             /* no ExpressLink: AT and ERROR */
	const char *staging;                    /* factory endpoint */
	const char *connect_answer;             /* NULL: connects ... */
	bool (*lets_in)(struct fake_module *m); /* ... if this says so; NULL: it does */
	const char *refuse;                     /* this key is refused ... */
	const char *refuse_with;                /* ... with this line ... */
	int refusals;                           /* ... so often; 0: always */
	int garble;                             /* so many commands are heard with a byte lost */
	int silent;                             /* so many commands are not answered */
	const char *stop_in;                    /* an answer that has this text stops in the middle, once */
	const char *unsteady;                   /* this key has another value each time it is read */
	const char *hurt;                       /* in answers that have this text ... */
	int hurt_at, hurt_bit, hurts;           /* ... a bit of the byte so far behind its begin is turned, so often */
	void (*connected)(bool up, void *data); /* told from the thread */
	void *data;

	/* Of the thread. */
	struct fake_key keys[FAKE_KEYS];
	int count;
	bool online;
	char paste[32]; /* key that is being pasted */
	char pasted[8192];
	int events; /* STARTUP events waiting */
	int master, stop[2];
	char path[64];
	pthread_t thread;
	atomic_int commands; /* heard */
	atomic_int writes;   /* CONF writes done */
	char heard[65536];   /* everything */
	size_t heard_len;
	pthread_mutex_t lock;
	sem_t running; /* posted when the thread is */
};

static inline struct fake_key *fake_find(struct fake_module *m, const char *name)
{
	for (int i = 0; i < m->count; i++)
		if (strcmp(m->keys[i].name, name) == 0)
			return &m->keys[i];
	return NULL;
}

static inline void fake_set(struct fake_module *m, const char *name, const char *value, bool readable, bool writable)
{
	struct fake_key *key = fake_find(m, name);

	if (key == NULL)
		key = &m->keys[m->count++];
	key->name = name;
	snprintf(key->value, sizeof(key->value), "%s", value);
	key->readable = readable;
	key->writable = writable;
}

static inline const char *fake_get(struct fake_module *m, const char *name)
{
	struct fake_key *key = fake_find(m, name);

	return key != NULL ? key->value : "";
}

static inline void fake_put(struct fake_module *m, const char *said)
{
	char hurt[20000];
	const char *text = said, *at = m->hurts > 0 ? strstr(said, m->hurt) : NULL;
	size_t len = strlen(text);

	if (at != NULL && (size_t)(at - said) + (size_t)m->hurt_at < len) {
		snprintf(hurt, sizeof(hurt), "%s", said);
		hurt[at - said + m->hurt_at] ^= (char)m->hurt_bit;
		m->hurts--;
		text = hurt;
	}
	const char *cut = m->stop_in != NULL ? strstr(text, m->stop_in) : NULL;

	if (cut != NULL) {
		m->stop_in = NULL;
		len = (size_t)(cut - text);
	}
	while (len > 0) {
		ssize_t put = write(m->master, text, len);

		if (put <= 0)
			return;
		text += put;
		len -= (size_t)put;
	}
}

static inline void fake_answer(struct fake_module *m, const char *text)
{
	char line[20000];

	snprintf(line, sizeof(line), "%s%s", text, m->old ? "\n" : "\r\n");
	fake_put(m, line);
}

static inline void fake_unescape(const char *in, char *out)
{
	for (; *in != '\0'; in++) {
		if (*in == '\\' && in[1] != '\0') {
			in++;
			*out++ = (char)(*in == 'A' ? '\n' : *in == 'D' ? '\r' : *in);
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

static inline void fake_escape(const char *in, char *out)
{
	for (; *in != '\0'; in++) {
		if (*in == '\n' || *in == '\r' || *in == '\\') {
			*out++ = '\\';
			*out++ = (char)(*in == '\n' ? 'A' : *in == '\r' ? 'D' : '\\');
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

static inline void fake_read_key(struct fake_module *m, char *param)
{
	char *pem = strstr(param, " pem");
	struct fake_key *key;
	static char text[20000];

	if (pem != NULL)
		*pem = '\0';
	key = fake_find(m, param);
	if (key == NULL || !key->readable) {
		fake_answer(m, key == NULL ? "ERR11 UNKNOWN KEY" : "ERR13 KEY WRITEONLY");
	} else if (pem == NULL) {
		if (m->no_one_line_pem && strstr(key->value, "-----") != NULL) {
			fake_answer(m, "ERR4 PARAMETER ERROR");
			return;
		}
		strcpy(text, *key->value != '\0' ? "OK " : "OK");
		fake_escape(key->value, text + strlen(text));
		if (m->unsteady != NULL && strcmp(m->unsteady, param) == 0)
			snprintf(text + strlen(text), 20, "%d", (int)m->commands);
		fake_answer(m, text);
	} else {
		int lines = 0;
		char *line, *rest, *copy = strdup(key->value);

		for (const char *c = key->value; *c != '\0'; c++)
			lines += *c == '\n';
		if (m->old || m->uncounted)
			fake_answer(m, "OK pem");
		else {
			snprintf(text, sizeof(text), "OK%d pem", lines);
			fake_answer(m, text);
		}
		for (line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
			fake_answer(m, line);
		free(copy);
	}
}

static inline void fake_store(struct fake_module *m, const char *name, const char *value)
{
	struct fake_key *key = fake_find(m, name);

	snprintf(key->value, sizeof(key->value), "%.8191s", value);
	m->writes++;
	fake_answer(m, "OK");
}

static inline void fake_write_key(struct fake_module *m, char *param)
{
	char *value = strchr(param, '=');
	struct fake_key *key;
	static char text[20000];

	if (value == NULL) {
		fake_answer(m, "ERR4 PARAMETER ERROR");
		return;
	}
	*value++ = '\0';
	key = fake_find(m, param);
	fake_unescape(value, text);
	if (key == NULL)
		fake_answer(m, "ERR11 UNKNOWN KEY");
	else if (!key->writable)
		fake_answer(m, "ERR12 KEY READONLY");
	else if (m->refuse != NULL && strcmp(m->refuse, param) == 0) {
		if (m->refusals > 0 && --m->refusals == 0)
			m->refuse = NULL;
		fake_answer(m, m->refuse_with);
	} else if (strcmp(value, "pem") == 0) {
		snprintf(m->paste, sizeof(m->paste), "%.31s", param);
		m->pasted[0] = '\0';
		if (m->prompts)
			fake_answer(m, "OK");
	} else if (m->no_one_line_pem && strstr(text, "-----") != NULL)
		fake_answer(m, "ERR4 PARAMETER ERROR");
	else
		fake_store(m, param, text);
}

static inline void fake_connect(struct fake_module *m)
{
	if (m->connect_answer != NULL) {
		fake_answer(m, m->connect_answer);
		return;
	}
	if (m->lets_in != NULL && !m->lets_in(m)) {
		fake_answer(m, "ERR14 4 UNABLE TO CONNECT");
		return;
	}
	m->online = true;
	if (m->connected != NULL)
		m->connected(true, m->data);
	fake_answer(m, "OK 1 CONNECTED");
}

static inline void fake_reset(struct fake_module *m)
{
	fake_set(m, "Endpoint", m->staging, true, true);
	fake_set(m, "HOTAcertificate", "", true, true);
	fake_set(m, "CustomName", "", true, true);
	m->refuse = NULL;
	m->online = false;
	m->events = 1;
	fake_answer(m, "OK");
}

static inline void fake_status(struct fake_module *m)
{
	bool customer = strcmp(fake_get(m, "Endpoint"), m->staging) != 0;
	char line[80];

	if (m->old)
		snprintf(line, sizeof(line), "OK %d", m->online);
	else
		snprintf(line, sizeof(line), "OK %d %d %s %s", m->online, customer,
			 m->online ? "CONNECTED" : "DISCONNECTED", customer ? "CUSTOMER" : "STAGING");
	fake_answer(m, line);
}

static inline void fake_paste(struct fake_module *m, const char *line)
{
	strcat(m->pasted, line);
	strcat(m->pasted, "\n");
	if (strncmp(line, "-----END", 8) != 0)
		return;
	snprintf(fake_find(m, m->paste)->value, 8192, "%s", m->pasted);
	m->writes++;
	m->paste[0] = '\0';
	fake_answer(m, m->prompts ? "OK COMPLETE" : "OK");
}

static inline void fake_other(struct fake_module *m, const char *line)
{
	fake_answer(m, strcmp(line, "AT") == 0 ? "OK" : "ERROR");
}

static inline void fake_command(struct fake_module *m, char *line)
{
	if (m->paste[0] != '\0') {
		fake_paste(m, line);
		return;
	}
	if (*line == '\0')
		return;
	m->commands++;
	if (m->echo) {
		fake_answer(m, line);
	}
	if (m->garble > 0 && strlen(line) > 5) {
		m->garble--;
		memmove(line + 2, line + 3, strlen(line + 2));
	}
	if (m->silent > 0 && strlen(line) > 2) {
		m->silent--;
		return;
	}
	if (m->other)
		fake_other(m, line);
	else if (strcmp(line, "AT") == 0)
		fake_answer(m, "OK");
	else if (strncmp(line, "AT+CONF? ", 9) == 0)
		fake_read_key(m, line + 9);
	else if (strncmp(line, "AT+CONF ", 8) == 0)
		fake_write_key(m, line + 8);
	else if (strcmp(line, "AT+CONNECT?") == 0)
		fake_status(m);
	else if (strcmp(line, "AT+CONNECT") == 0)
		fake_connect(m);
	else if (strcmp(line, "AT+DISCONNECT") == 0) {
		m->online = false;
		if (m->connected != NULL)
			m->connected(false, m->data);
		fake_answer(m, "OK 0 DISCONNECTED");
	} else if (strcmp(line, "AT+FACTORY_RESET") == 0)
		fake_reset(m);
	else if (strcmp(line, "AT+EVENT?") == 0) {
		fake_answer(m, m->events > 0 ? "OK 2 0 STARTUP" : "OK");
		m->events = 0;
	} else if (strncmp(line, "AT+", 3) == 0)
		fake_answer(m, "ERR3 COMMAND NOT FOUND");
	else if (strncmp(line, "AT", 2) == 0)
		fake_answer(m, "ERR2 PARSE ERROR");
}

static inline void *fake_run(void *data)
{
	struct fake_module *m = data;
	static char line[20000];
	size_t len = 0;

	sem_post(&m->running);
	for (;;) {
		struct pollfd fds[2] = {{m->master, POLLIN, 0}, {m->stop[0], POLLIN, 0}};
		char chunk[1024];
		ssize_t got;

		if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
			return NULL;
		got = read(m->master, chunk, sizeof(chunk));
		if (got <= 0) {
			usleep(1000); /* nobody has the other side open */
			continue;
		}
		pthread_mutex_lock(&m->lock);
		for (ssize_t i = 0; i < got; i++) {
			if (m->heard_len + 1 < sizeof(m->heard))
				m->heard[m->heard_len++] = chunk[i];
			if (chunk[i] != '\n' && (m->old || chunk[i] != '\r')) {
				if (len + 1 < sizeof(line))
					line[len++] = chunk[i];
				continue;
			}
			line[len] = '\0';
			len = 0;
			fake_command(m, line);
		}
		pthread_mutex_unlock(&m->lock);
	}
}

static inline void fake_init(struct fake_module *m, const char *uid, const char *certificate)
{
	memset(m, 0, sizeof(*m));
	m->staging = "staging.vendor.example";
	fake_set(m, "About", "Acme - Rocket", true, false);
	fake_set(m, "Version", "1.2.3", true, false);
	fake_set(m, "TechSpec", "v1.1", true, false);
	fake_set(m, "ThingName", uid, true, false);
	fake_set(m, "Certificate", certificate, true, false);
	fake_set(m, "CustomName", "", true, true);
	fake_set(m, "Endpoint", m->staging, true, true);
	fake_set(m, "RootCA", "", true, true);
	fake_set(m, "HOTAcertificate", "", true, true);
	fake_set(m, "SSID", "", true, true);
	fake_set(m, "Passphrase", "", false, true);
}

static inline void fake_start(struct fake_module *m)
{
	struct termios raw;
	int slave;

	pthread_mutex_init(&m->lock, NULL);
	m->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (m->master < 0 || grantpt(m->master) != 0 || unlockpt(m->master) != 0 ||
	    ptsname_r(m->master, m->path, sizeof(m->path)) != 0 || pipe(m->stop) != 0)
		abort();
	slave = open(m->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	close(slave);
	sem_init(&m->running, 0, 0);
	if (pthread_create(&m->thread, NULL, fake_run, m) != 0)
		abort();
	while (sem_wait(&m->running) != 0) /* a thread that begins is inside of malloc: nobody could fork */
		;
}

static inline void fake_stop(struct fake_module *m)
{
	if (write(m->stop[1], "x", 1) != 1)
		abort();
	pthread_join(m->thread, NULL);
	close(m->master);
	close(m->stop[0]);
	close(m->stop[1]);
	pthread_mutex_destroy(&m->lock);
	sem_destroy(&m->running);
}

/* How often a text was said to it. */
static inline int fake_heard(struct fake_module *m, const char *text)
{
	int count = 0;

	pthread_mutex_lock(&m->lock);
	m->heard[m->heard_len] = '\0';
	for (const char *at = strstr(m->heard, text); at != NULL; at = strstr(at + 1, text))
		count++;
	pthread_mutex_unlock(&m->lock);
	return count;
}

#endif
