/*
 * Many use-cases at once in one process. Each is ordinary code that calls the
 * cloud and waits for the answer, in a thread of its own; a baton (one mutex)
 * sees to it that never more than one of them runs. A strand hands it on where it
 * waits for an answer or a time; when all wait, the thread that began them drives
 * the engine until one can go on. So everything that is not the network stays as
 * it is with a single thread, and the calls of all strands share one set of
 * rates, connections and credentials.
 */
#include "cloud/aws/aws_private.h"

#include <pthread.h>
#include <signal.h>

enum {
	STRANDS = 64, /* rows of a second of latency at 50 a second; the rates hold them back, not this */
	STACK_BYTES = 2 * 1024 * 1024,
	STEP_MS = 1000,
};

struct strand {
	struct strands *all;
	pthread_t thread;
	pthread_cond_t turn;
	bool waiting;
	const bool *finished; /* what it waits for; NULL: the time */
	int64_t until;
};

struct strands {
	struct aws *aws;
	pthread_mutex_t baton;
	pthread_cond_t all_wait;
	struct strand strand[STRANDS];
	int count, alive, running;
	void (*work)(void *data);
	void *data;
};

static _Thread_local struct strand *current;

static void stopped(struct strands *all)
{
	if (--all->running == 0)
		pthread_cond_signal(&all->all_wait);
}

static void *run(void *data)
{
	struct strand *strand = data;
	struct strands *all = strand->all;

	pthread_mutex_lock(&all->baton);
	current = strand;
	all->work(all->data);
	all->alive--;
	stopped(all);
	pthread_mutex_unlock(&all->baton);
	return NULL;
}

static void hand_on(struct strand *strand, const bool *finished, int64_t until)
{
	strand->finished = finished;
	strand->until = until;
	strand->waiting = true;
	stopped(strand->all);
	while (strand->waiting)
		pthread_cond_wait(&strand->turn, &strand->all->baton);
}

/* Those that can go on do, when the baton is free. How long none of the others will for want of time. */
static int wake(struct strands *all)
{
	int wait = STEP_MS;

	for (int i = 0; i < all->count; i++) {
		struct strand *strand = &all->strand[i];
		int left = strand->finished != NULL ? STEP_MS : iot_left(strand->until);

		if (!strand->waiting)
			continue;
		if (strand->finished != NULL ? *strand->finished : left == 0) {
			strand->waiting = false;
			all->running++;
			pthread_cond_signal(&strand->turn);
		}
		wait = left < wait ? left : wait;
	}
	return wait;
}

/* The baton is held but while strands run. */
static void drive(struct strands *all)
{
	for (;;) {
		int wait;

		while (all->running > 0)
			pthread_cond_wait(&all->all_wait, &all->baton);
		if (all->alive == 0)
			return;
		wait = wake(all);
		if (all->running == 0)
			aws_engine_step(all->aws, wait);
	}
}

/* Signals go to the thread that began the strands. */
static void begin(struct strands *all)
{
	pthread_attr_t attributes;
	sigset_t every, before;

	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	while (all->count < STRANDS) {
		struct strand *strand = &all->strand[all->count];

		strand->all = all;
		if (pthread_create(&strand->thread, &attributes, run, strand) != 0)
			break;
		pthread_cond_init(&strand->turn, NULL);
		all->count++;
	}
	all->alive = all->running = all->count;
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void aws_together(void *self, void (*work)(void *data), void *data)
{
	struct strands *all;

	if (current != NULL) { /* within a strand there is nothing to gain */
		work(data);
		return;
	}
	all = iot_alloc(sizeof(*all));
	*all = (struct strands){.aws = self, .work = work, .data = data};
	pthread_mutex_init(&all->baton, NULL);
	pthread_cond_init(&all->all_wait, NULL);
	pthread_mutex_lock(&all->baton);
	begin(all);
	if (all->count > 0)
		drive(all);
	pthread_mutex_unlock(&all->baton);
	for (int i = 0; i < all->count; i++) {
		pthread_join(all->strand[i].thread, NULL);
		pthread_cond_destroy(&all->strand[i].turn);
	}
	pthread_cond_destroy(&all->all_wait);
	pthread_mutex_destroy(&all->baton);
	if (all->count == 0) /* no memory for a thread: one after the other, then */
		work(data);
	free(all);
}

void aws_await(struct aws *aws, const struct aws_call *call)
{
	if (current != NULL)
		hand_on(current, &call->finished, 0);
	else
		while (!call->finished)
			aws_engine_step(aws, STEP_MS);
}

void aws_pause(void *self, int ms)
{
	int64_t until = iot_deadline(ms);

	if (current != NULL)
		hand_on(current, NULL, until);
	else
		while (iot_left(until) > 0)
			aws_engine_step(self, iot_left(until));
}
