/*
 * The HTTP client against a server of the test's own (a child on plain sockets),
 * which counts what reached it: answers, limits, deadlines, and above all that
 * nothing is sent twice which must not be.
 */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct seen {
	int connections, requests;
} * seen; /* shared with the server */

static pid_t server;
static int port;
static struct iot_http *http;

/* --- the server ---------------------------------------------------------------------- */

/* One request, head and body; false when the peer is gone. */
static bool read_request(int fd, char *text, size_t size)
{
	size_t len = 0, body = 0, head = 0;

	text[0] = '\0';
	while (head == 0 || len < head + body) {
		ssize_t n = len + 1 < size ? recv(fd, text + len, size - 1 - len, 0) : 0;
		const char *end, *length;

		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (head == 0 && end != NULL) {
			head = (size_t)(end - text) + 4;
			length = strstr(text, "Content-Length: ");
			body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
		}
	}
	return true;
}

static void say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

enum { SLOW_MS = 10000 };

/* Returns whether the connection goes on. */
static bool answer(int fd, const char *request)
{
	char text[512];
	const char *body = strstr(request, "\r\n\r\n") + 4;

	if (strstr(request, " /drop ") != NULL)
		return false;
	if (strstr(request, " /half ") != NULL) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
		return false;
	}
	if (strstr(request, " /slow ") != NULL) {
		poll(NULL, 0, SLOW_MS);
		return false;
	}
	if (strstr(request, " /long ") != NULL) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
		for (int i = 0; i < 500; i++)
			say(fd, "0123456789");
		return true;
	}
	if (strstr(request, " /away ") != NULL) {
		say(fd, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
		return true;
	}
	snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nX-Case: A: b \r\nContent-Length: %zu\r\n\r\n%.*s|%.200s",
		 strcspn(request, "\r") + 1 + strlen(body), (int)strcspn(request, "\r"), request, body);
	say(fd, text);
	return true;
}

static _Noreturn void serve(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char text[65536];

		if (fd < 0)
			_exit(0);
		seen->connections++;
		while (read_request(fd, text, sizeof(text))) {
			seen->requests++;
			if (!answer(fd, text))
				break;
		}
		close(fd);
	}
}

static void set_up(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct iot_http_options options = {.connections = 1};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED || bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 8) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) != 0)
		abort();
	port = ntohs(address.sin_port);
	server = fork();
	if (server == 0)
		serve(listener);
	close(listener);
	unsetenv("http_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	if (iot_http_new(&options, &http, NULL) != IOT_OK)
		abort();
}

static void tear_down(void)
{
	iot_http_free(http);
	http = NULL;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	munmap(seen, sizeof(*seen));
}

/* --- the client ----------------------------------------------------------------------- */

static enum iot_status ask(const char *path, struct iot_http_request request, struct iot_http_reply *reply,
			   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *url = iot_strf("http://127.0.0.1:%d%s", port, path);

	*reply = (struct iot_http_reply)IOT_HTTP_REPLY_INIT;
	request.url = url;
	if (request.method == NULL)
		request.method = "POST";
	return iot_http_call(http, &request, reply, err);
}

static void test_answers(void)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_http_reply reply;
	char value[16], expected[64];

	for (size_t i = 0; i < IOT_LENGTH(methods); i++) {
		ASSERT_OK(ask("/a/../%2F?x=1",
			      (struct iot_http_request){.method = methods[i], .body = "hi", .body_len = 2}, &reply,
			      &err),
			  &err);
		CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_ANSWERED);
		CU_ASSERT_EQUAL(reply.status, 200);
		/* The path went out as it is. */
		snprintf(expected, sizeof(expected), "%s /a/../%%2F?x=1 HTTP/1.1|hi", methods[i]);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&reply.body), expected);
		CU_ASSERT_TRUE(iot_http_reply_header(&reply, "x-case", value, sizeof(value)));
		CU_ASSERT_STRING_EQUAL(value, "A: b");
		CU_ASSERT_FALSE(iot_http_reply_header(&reply, "x-cas", value, sizeof(value)));
		iot_http_reply_release(&reply);
	}
	CU_ASSERT_EQUAL(seen->connections, 1); /* kept */
	ASSERT_OK(ask("/away", (struct iot_http_request){.method = "GET"}, &reply, &err), &err);
	CU_ASSERT_EQUAL(reply.status, 302); /* not followed */
	iot_http_reply_release(&reply);
}

static void test_body_of_a_file(void)
{
	char *dir = unit_mkdtemp();
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "body");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_http_reply reply;
	int fd;

	ASSERT_OK(iot_fs_write(path, 0600, "from a file", 11, &err), &err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_OK(ask("/up", (struct iot_http_request){.method = "PUT", .body_fd = fd, .body_len = 11}, &reply, &err),
		  &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&reply.body), "PUT /up HTTP/1.1|from a file");
	iot_http_reply_release(&reply);
	close(fd);
	(void)!iot_fs_remove_tree(dir, &err);
	free(dir);
}

static void test_what_must_not_be_sent_twice_is_not(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_http_reply reply;
	int before;

	/* A connection that was used before: there libcurl by itself sends again what got no answer. */
	ASSERT_OK(ask("/ok", (struct iot_http_request){.body = "x", .body_len = 1}, &reply, &err), &err);
	iot_http_reply_release(&reply);
	before = seen->requests;
	ASSERT_STATUS(ask("/drop", (struct iot_http_request){.body = "x", .body_len = 1, .once = true}, &reply, &err),
		      IOT_AGAIN, &err);
	CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_UNKNOWN);
	CU_ASSERT_EQUAL(seen->requests, before + 1);
	iot_http_reply_release(&reply);
	ASSERT_STATUS(ask("/half", (struct iot_http_request){.once = true}, &reply, &err), IOT_AGAIN, &err);
	CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_UNKNOWN);
	ASSERT_CONTAINS(err.what, "cut off");
	CU_ASSERT_EQUAL(seen->requests, before + 2);
	iot_http_reply_release(&reply);
}

static void test_surely_not_sent(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_http_reply reply = IOT_HTTP_REPLY_INIT;
	struct iot_http_request request = {.method = "POST", .url = "http://127.0.0.1:1/", .body = "x", .body_len = 1};

	ASSERT_STATUS(iot_http_call(http, &request, &reply, &err), IOT_AGAIN, &err);
	CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_NOT_SENT);
	iot_http_reply_release(&reply);
	/* Nobody speaks TLS there. */
	IOT_CLEAN(iot_free_p) char *url = iot_strf("https://127.0.0.1:%d/", port);

	reply = (struct iot_http_reply)IOT_HTTP_REPLY_INIT;
	request.url = url;
	request.connect_ms = 500;
	CU_ASSERT_NOT_EQUAL(iot_http_call(http, &request, &reply, &err), IOT_OK);
	CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_NOT_SENT);
	iot_http_reply_release(&reply);
}

static void test_limits(void)
{
	const struct iot_http_header bad = {"X", "a\r\nY: b"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_http_reply reply;
	int64_t began;

	ASSERT_STATUS(ask("/long", (struct iot_http_request){.method = "GET", .max_reply = 4999}, &reply, &err),
		      IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "longer than 4999 bytes");
	iot_http_reply_release(&reply);
	ASSERT_OK(ask("/long", (struct iot_http_request){.method = "GET", .max_reply = 5000}, &reply, &err), &err);
	CU_ASSERT_EQUAL(reply.body.len, 5000);
	iot_http_reply_release(&reply);
	ASSERT_STATUS(ask("/ok", (struct iot_http_request){.headers = &bad, .header_count = 1}, &reply, &err),
		      IOT_USAGE, &err);
	iot_http_reply_release(&reply);
	began = iot_monotonic_ms();
	ASSERT_STATUS(ask("/slow", (struct iot_http_request){.method = "GET", .timeout_ms = 200}, &reply, &err),
		      IOT_TIMEOUT, &err);
	CU_ASSERT_EQUAL(reply.outcome, IOT_HTTP_UNKNOWN);
	CU_ASSERT(iot_monotonic_ms() - began < SLOW_MS);
	iot_http_reply_release(&reply);
}

struct counting {
	int done, good;
};

static void count(void *data, struct iot_http_reply *reply)
{
	struct counting *counting = data;

	counting->done++;
	counting->good += reply->outcome == IOT_HTTP_ANSWERED && reply->status == 200;
}

static void test_many_in_flight(void)
{
	IOT_CLEAN(iot_free_p) char *url = iot_strf("http://127.0.0.1:%d/ok", port);
	const struct iot_http_request request = {.method = "GET", .url = url};
	struct counting counting = {0, 0};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(20000);

	for (int i = 0; i < 50; i++)
		ASSERT_OK(iot_http_start(http, &request, count, &counting, &err), &err);
	while (iot_http_run(http, 100) > 0 && iot_left(deadline) > 0)
		;
	CU_ASSERT_EQUAL(counting.done, 50);
	CU_ASSERT_EQUAL(counting.good, 50);
	/* What is in flight when the client goes is forgotten without a call. */
	ASSERT_OK(iot_http_start(http, &request, count, &counting, &err), &err);
	iot_http_free(http);
	http = NULL;
	CU_ASSERT_EQUAL(counting.done, 50);
}

UNIT_MAIN("transport/http", set_up, tear_down, {"answers", test_answers}, {"body_of_a_file", test_body_of_a_file},
	  {"what_must_not_be_sent_twice_is_not", test_what_must_not_be_sent_twice_is_not},
	  {"surely_not_sent", test_surely_not_sent}, {"limits", test_limits}, {"many_in_flight", test_many_in_flight})
