/*
 * Yardsticks of bench_aws.sh: "serve PORT-FILE" is an endpoint that answers
 * every CreateThing at once and checks nothing (until standard input ends);
 * "bare URL COUNT" is what a loop over one libcurl handle reaches on it, signed by
 * libcurl itself (without a signature no real endpoint would answer).
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Answer requests until the peer goes. Heads and bodies come in one piece or several. */
static void *talk(void *data)
{
	static const char body[] =
		"{\"thingName\":\"bench\",\"thingArn\":\"arn:aws:iot:eu-west-1:123456789012:thing/bench\","
		"\"thingId\":\"00000000-0000-0000-0000-000000000000\"}";
	char in[16384], out[512];
	size_t len = 0;
	int fd = (int)(intptr_t)data, one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (;;) {
		ssize_t n = recv(fd, in + len, sizeof(in) - 1 - len, 0);
		char *end;

		if (n <= 0)
			break;
		len += (size_t)n;
		in[len] = '\0';
		while ((end = strstr(in, "\r\n\r\n")) != NULL) {
			const char *length = strstr(in, "Content-Length: ");
			size_t whole = (size_t)(end - in) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
			int out_len;

			if (len < whole)
				break;
			out_len = snprintf(
				out, sizeof(out),
				"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
				sizeof(body) - 1, body);
			if (send(fd, out, (size_t)out_len, MSG_NOSIGNAL) != out_len)
				break;
			memmove(in, in + whole, len - whole + 1);
			len -= whole;
		}
	}
	close(fd);
	return NULL;
}

static void *accept_all(void *data)
{
	int listener = (int)(intptr_t)data, fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, talk, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	}
	return NULL;
}

static int serve(const char *path)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;
	FILE *file;

	if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 64) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
	    pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener) != 0)
		return 1;
	file = fopen(path, "w");
	if (file == NULL || fprintf(file, "%d\n", ntohs(address.sin_port)) < 0 || fclose(file) != 0)
		return 1;
	while (getchar() != EOF)
		;
	return 0;
}

static size_t forget(char *data, size_t size, size_t count, void *user)
{
	(void)data;
	(void)user;
	return size * count;
}

static int bare(const char *url, int count)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *easy = curl_easy_init();
	int good = 0;

	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, "aws:amz:eu-west-1:iot");
	curl_easy_setopt(easy, CURLOPT_USERPWD, "AKIDEXAMPLE:secret");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, forget);
	for (int i = 0; i < count; i++) {
		char path[256];
		long status = 0;

		snprintf(path, sizeof(path), "%s/things/bench-%06d", url, i);
		curl_easy_setopt(easy, CURLOPT_URL, path);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{}");
		if (curl_easy_perform(easy) == CURLE_OK &&
		    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
			good += status == 200;
	}
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	return good == count ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 4 && strcmp(argv[1], "bare") == 0)
		return bare(argv[2], (int)strtol(argv[3], NULL, 10));
	return 2;
}
