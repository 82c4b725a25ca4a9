/*
 * How long our software device takes to load an update: bench_ota_device DIR IMAGE
 * BLOCK WINDOW. It takes the job that waits for it, and the seconds between the
 * first request for blocks and the checked signature are printed. IMAGE is its
 * factory image.
 */
#include "bench.h"

#include "iotctl/sim.h"

#include <string.h>

#define LIMIT_MS 300000

static double began, ended;

static void on_event(const char *name, const char *detail, void *data)
{
	(void)data;
	if (strcmp(name, "download") == 0)
		began = bench_now_ms();
	else if (strcmp(name, "signature") == 0 && strcmp(detail, "ok") == 0)
		ended = bench_now_ms();
}

int main(int argc, char **argv)
{
	struct iot_sim_device_options options = {.once = true, .exit_after_ms = LIMIT_MS};
	struct iot_error err = IOT_ERROR_INIT;

	if (argc != 5) {
		fprintf(stderr, "usage: bench_ota_device DIR IMAGE BLOCK WINDOW\n");
		return 2;
	}
	options.dir = argv[1];
	options.image = argv[2];
	options.block_size = bench_number(argv[3]);
	options.window = bench_number(argv[4]);
	bench_must(iot_sim_device_run(&options, on_event, NULL, &err), &err);
	if (began == 0 || ended == 0) {
		fprintf(stderr, "no update was waiting\n");
		return 1;
	}
	printf("%.4f\n", (ended - began) / 1e3);
	return 0;
}
