/*
 * The parts of a station that are no process: recipes, serial numbers, the
 * scanner, shifts, labels. Its record is tested in test_station_record.c.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "unit.h"

#include <png.h>
#include <unistd.h>

static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

/* --- recipes --------------------------------------------------------------------------------------- */

static enum iot_status parse(const char *text, struct iot_station_recipe **ret, struct iot_error *err)
{
	return iot_station_recipe_parse(text, strlen(text), "r.json", "/line", ret, err);
}

static void test_recipe(void)
{
	IOT_CLEAN(iot_station_recipe_free_p) struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(parse("{\"name\":\"p\",\"board\":\"expresslink\",\"serial\":\"[0-9]{4}\",\"baud\":9600,"
			"\"device\":{\"name\":\"pump-{serial}\",\"policies\":[\"a\",\"b\"]},"
			"\"items\":{\"wifiSsid\":\"x\",\"wifiPasswordFile\":\"wifi\",\"endpoint\":\"gw\","
			"\"endpointPort\":8887},"
			"\"limits\":{\"time\":\"90s\",\"attempts\":3},\"hook\":{\"command\":[\"./tell\",\"--x\"]}}",
			&recipe, &err),
		  &err);
	if (recipe == NULL)
		return;
	CU_ASSERT_STRING_EQUAL(recipe->wifi_password_file, "/line/wifi");
	CU_ASSERT_STRING_EQUAL(recipe->hook[0], "/line/./tell");
	CU_ASSERT_STRING_EQUAL(recipe->policies[1], "b");
	CU_ASSERT_PTR_NULL(recipe->policies[2]);
	CU_ASSERT_EQUAL(recipe->timeout_ms, 90000);
	CU_ASSERT_EQUAL(recipe->attempts, 3);
	CU_ASSERT_EQUAL(recipe->baud, 9600);
	CU_ASSERT_STRING_EQUAL(recipe->endpoint, "gw");
	CU_ASSERT_EQUAL(recipe->endpoint_port, 8887);
	ASSERT_OK(serials_check(recipe, "0001", &err), &err);
	ASSERT_STATUS(serials_check(recipe, "x0001", &err), IOT_USAGE, &err);
	ASSERT_STATUS(serials_check(recipe, "00011", &err), IOT_USAGE, &err);
}

static void test_recipes_that_are_refused(void)
{
#define HEAD "{\"name\":\"p\",\"board\":\"expresslink\""
#define CHIP "{\"name\":\"line\",\"board\":\"stm32f1\""
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[]", "should be a JSON object"},
		{"{\"board\":\"expresslink\"}", "'name' is missing"},
		{"{\"name\":\"p\"}", "'board' is missing"},
		{HEAD ",\"polices\":[]}", "no member 'polices'"},
		{HEAD ",\"limits\":{\"tme\":\"1s\"}}", "no member 'limits.tme'"},
		{HEAD ",\"limits\":{\"time\":30}}", "'limits.time' should be"},
		{HEAD ",\"limits\":{\"attempts\":0}}", "'limits.attempts' should be a number from 1 to 10"},
		{HEAD ",\"limits\":[]}", "'limits' should be an object"},
		{HEAD ",\"device\":{\"name\":\"{serail}\"}}", "{serail}"},
		{HEAD ",\"device\":{\"name\":\"{serial\"}}", "without '}'"},
		{HEAD ",\"device\":{\"policies\":\"a\"}}", "'device.policies' should be a list"},
		{HEAD ",\"device\":{\"policies\":[]}}", "'device.policies' should be a list"},
		{HEAD ",\"serial\":\"[\"}", "regular expression"},
		{HEAD ",\"items\":{\"endpointPort\":0}}", "'items.endpointPort' should be"},
		{"{\"name\":\"p\",\"board\":\"tfm-small\",\"device\":{\"policies\":[\"a\"]}}",
		 "'device.policies' needs"},
		{"{\"name\":\"p\",\"board\":\"tfm-small\",\"label\":{\"qr\":\"{certificate}\"}}", "'label.qr' needs"},
		{HEAD ",\"pulse\":\"cts\"}", "'pulse'"},
		{HEAD ",\"lock\":\"permanent\"}", "cannot be locked"},
		{HEAD ",\"lock\":\"maybe\"}", "'lock' should be"},
		{HEAD ",\"lockAlso\":[\"x\"]}", "no optional locks"},
		{HEAD ",\"lockAlso\":\"x\"}", "'lockAlso' should be a list"},
		{CHIP ",\"lock\":\"reversible\",\"lockAlso\":[\"readout\"]}", "no optional lock 'readout'"},
		{CHIP ",\"lockAlso\":[\"readout protection, level 1\"]}", "but none is wanted"},
		{HEAD ",\"items\":{\"wifiPasswordFile\":\"x\"}}", "needs 'items.wifiSsid'"},
		{HEAD ",\"hook\":{}}", "'hook.command' is missing"},
		{HEAD ",\"name\":\"again\"}", ""},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		struct iot_station_recipe *recipe = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_STATUS(parse(rows[i].text, &recipe, &err), IOT_USAGE, &err);
		if (strstr(err.what, rows[i].says) == NULL)
			fprintf(stderr, "\n'%s' gave: %s\n", rows[i].text, err.what);
		ASSERT_CONTAINS(err.what, rows[i].says);
		iot_station_recipe_free(recipe);
	}
}

static void test_a_kind_of_board_that_is_not_there(void)
{
	struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(parse("{\"name\":\"p\",\"board\":\"toaster\"}", &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "no kind of board 'toaster'");
	/* A file is looked for beside the recipe. */
	ASSERT_STATUS(parse("{\"name\":\"p\",\"board\":\"toaster.json\"}", &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "/line/toaster.json");
}

/* Some heads have a recipe of their own; what is the station's is not in it. */
static void test_recipes_of_heads(void)
{
	static const char station[] =
		"{\"name\":\"line\",\"board\":\"expresslink\",\"serial\":\"P[0-9]+\",\"heads\":["
		"{\"port\":\"*/con?\",\"recipe\":\"u5.json\"},{\"port\":\"buspirate:*\",\"recipe\":\"f1.json\"}]}";
	static const struct {
		const char *u5, *says;
	} wrong[] = {
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"hook\":{\"command\":[\"x\"]}}", "has 'hook'"},
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"heads\":[{\"port\":\"*\",\"recipe\":\"line.json\"}]}",
		 "has 'heads'"},
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"lock\":\"permanent\"}", "cannot be locked"},
	};
	IOT_CLEAN(iot_free_p) char *line = iot_path(dir, "line.json");
	IOT_CLEAN(iot_free_p) char *u5 = iot_path(dir, "u5.json");
	IOT_CLEAN(iot_free_p) char *f1 = iot_path(dir, "f1.json");
	static const char console[] = "{\"name\":\"u\",\"board\":\"stm32u5\",\"serial\":\"U[0-9]+\"}";
	static const char chip[] = "{\"name\":\"f\",\"board\":\"stm32f1\"}";
	struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(line, 0600, station, strlen(station), &err), &err);
	ASSERT_STATUS(iot_station_recipe_load(line, &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_OK(iot_fs_write(u5, 0600, console, strlen(console), &err), &err);
	ASSERT_OK(iot_fs_write(f1, 0600, chip, strlen(chip), &err), &err);
	ASSERT_OK(iot_station_recipe_load(line, &recipe, &err), &err);
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "./con1")->name, "u");
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "buspirate:./probe")->name, "f");
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "./head1")->name, "line");
	ASSERT_OK(serials_check_any(recipe, "U1", &err), &err);
	ASSERT_STATUS(serials_check(recipe, "U1", &err), IOT_USAGE, &err);
	iot_station_recipe_free(recipe);
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++) {
		ASSERT_OK(iot_fs_write(u5, 0600, wrong[i].u5, strlen(wrong[i].u5), &err), &err);
		ASSERT_STATUS(iot_station_recipe_load(line, &recipe, &err), IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, wrong[i].says);
	}
}

/* --- serial numbers ------------------------------------------------------------------------------------ */

static const struct iot_station_recipe any = {.name = (char *)(uintptr_t) "p"};

static enum iot_status range(const char *text, struct serials **ret, struct iot_error *err)
{
	const struct serials_options options = {.range = text, .recipe = &any};

	return serials_open(&options, ret, err);
}

static void test_ranges(void)
{
	static const char *const wrong[] = {"",           "1",        "..",      "A..B",     "0001..99",
					    "0009..0001", "A-1..B-9", "1..2..3", "A 01..02", "1..9999999999999999",
					    "A-1..A-"};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(range("PUMP-0998..1001", &serials, &err), &err);
	serials_used(serials, "PUMP-0999");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-0998");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-1000");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-1001");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	ASSERT_OK(range("A-1..A-2", &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A-1");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A-2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++)
		ASSERT_STATUS(range(wrong[i], &serials, &err), IOT_USAGE, &err);
}

/* --- the scanner ---------------------------------------------------------------------------- */

static void keep_note(const char *line, void *data)
{
	iot_buf_addf(data, "%s\n", line);
}

/* A number that was aimed at a head that does not want it is lost; scanned at once again it counts. */
static void test_a_number_that_was_not_taken_is_scanned_again(void)
{
	static const char typed[] = "@2\n@1\nP1\nP1\nP1\n";
	IOT_CLEAN(iot_buf_release) struct iot_buf notes = IOT_BUF_INIT(4096);
	struct iot_station_options options = {.note = keep_note, .data = &notes};
	struct station station = {.options = &options, .recipe = &any, .head_count = 1, .scans = json_array()};
	struct iot_error err = IOT_ERROR_INIT;
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	CU_ASSERT_EQUAL(write(ends[1], typed, strlen(typed)), (ssize_t)strlen(typed));
	options.scan_fd = ends[0];
	station.typed = (struct iot_buf)IOT_BUF_INIT(256);
	ASSERT_OK(scan_read(&station, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&notes), "there is no head '2'\n"
						    "the next number is for head 1\n"
						    "head 1 does not wait for 'P1': nothing was done with it\n"
						    "'P1' is for the next board\n"
						    "'P1' was scanned twice: once is enough\n");
	close(ends[0]);
	close(ends[1]);
	json_decref(station.scans);
	iot_buf_release(&station.typed);
	free(station.last_scan);
	free(station.notice);
}

static void test_a_list_with_a_number_twice(void)
{
	IOT_CLEAN(iot_free_p) char *list = iot_path(dir, "list");
	const struct serials_options options = {.file = list, .recipe = &any};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(list, 0600, "A\r\n\n B \nA\n", 10, &err), &err);
	ASSERT_STATUS(serials_open(&options, &serials, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.doing, "line 4");
	ASSERT_OK(iot_fs_write(list, 0600, "A\r\n\n B \nC", 9, &err), &err);
	ASSERT_OK(serials_open(&options, &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "B");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "C");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
}

/* Each recipe gets the next number that its boards may have; the others stay for the others. */
static void test_numbers_of_two_kinds(void)
{
	static struct iot_station_recipe of_pumps = {.name = (char *)(uintptr_t) "p"};
	IOT_CLEAN(iot_free_p) char *list = iot_path(dir, "list");
	const struct serials_options options = {.file = list, .recipe = &any};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(regcomp(&of_pumps.serial, "^P[0-9]$", REG_EXTENDED | REG_NOSUB), 0);
	of_pumps.has_serial = true;
	ASSERT_OK(iot_fs_write(list, 0600, "U1\nP1\nU2\nP2\n", 12, &err), &err);
	ASSERT_OK(serials_open(&options, &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &of_pumps), "P1");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "U1");
	serials_used(serials, "P2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &of_pumps));
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "U2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	regfree(&of_pumps.serial);
}

static json_t *skip_of(const char *uid, const char *serial)
{
	return json_pack("{s:s, s:s, s:s}", "uid", uid, "serial", serial, "owner", "device 'x'");
}

static json_t *begin_of(const char *uid, const char *serial, bool blank)
{
	return json_pack("{s:i, s:s, s:s, s:b}", "unit", 1, "uid", uid, "serial", serial, "blank", blank);
}

/* What a skip leaves behind in a shift, and when it goes on after a kill. */
static void check_skipped(const struct shift *shift)
{
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->skipped, "0001", ""), "device 'x'");
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->skipped, "0003", ""), "device 'x'");
	/* A board that can say who it is stays and gets another number; the name of a blank one was the number's. */
	CU_ASSERT_PTR_NOT_NULL(json_object_get(shift->boards, "A"));
	CU_ASSERT_PTR_NULL(iot_json_str(json_object_get(shift->boards, "A"), "serial", NULL));
	CU_ASSERT_PTR_NULL(json_object_get(shift->boards, "p-0003"));
	CU_ASSERT_PTR_NULL(json_object_get(shift->serials, "0001"));
	/* Who tried to take the number of B changed nothing about B. */
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->serials, "0002", ""), "B");
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_object_get(shift->boards, "B"), "serial", ""), "0002");
}

static void test_a_skipped_number_is_in_the_record(void)
{
	IOT_CLEAN(shift_release) struct shift shift = SHIFT_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("A", "0001", false), &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("B", "0002", false), &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("p-0003", "0003", true), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("A", "0001"), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("A", "0002"), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("p-0003", "0003"), &err), &err);
	check_skipped(&shift);
	shift_release(&shift);
	ASSERT_OK(shift_resume(dir, "line1", &shift, &err), &err);
	check_skipped(&shift);
	ASSERT_OK(shift_close(&shift, &err), &err);
}

/* Another product is another shift; what a changed recipe was is in the record. */
static void test_a_shift_goes_on_with_its_recipe(void)
{
	static struct iot_station_recipe other = {.name = (char *)(uintptr_t) "other"};
	struct iot_station_recipe changed = any;
	IOT_CLEAN(shift_release) struct shift shift = SHIFT_INIT;
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	file = iot_strdup(shift.chain.path);
	shift_release(&shift);
	ASSERT_STATUS(shift_open(dir, "line1", &other, &shift, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "open shift of recipe");
	ASSERT_CONTAINS(err.hint, "station close --station line1");
	shift_release(&shift);
	iot_error_clear(&err);
	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	CU_ASSERT_FALSE(shift.recipe_changed);
	shift_release(&shift);
	memset(changed.digest, 'c', sizeof(changed.digest) - 1);
	ASSERT_OK(shift_open(dir, "line1", &changed, &shift, &err), &err);
	CU_ASSERT_TRUE(shift.recipe_changed);
	shift_release(&shift);
	ASSERT_OK(shift_open(dir, "line1", &changed, &shift, &err), &err);
	CU_ASSERT_FALSE(shift.recipe_changed);
	ASSERT_OK(iot_fs_read(file, &text, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&text), "\"recipeSha256\":\"cccc");
}

/* --- labels --------------------------------------------------------------------------------------------------- */

static void test_a_qr_code_has_its_corners(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf png = IOT_BUF_INIT(1 << 20);
	png_image image = {.version = PNG_IMAGE_VERSION};
	struct iot_error err = IOT_ERROR_INIT;
	unsigned char *pixels;

	ASSERT_OK(iot_label_qr("pump-0001", 3, &png, &err), &err);
	CU_ASSERT_TRUE(png_image_begin_read_from_memory(&image, png.data, png.len) != 0);
	image.format = PNG_FORMAT_GRAY;
	/* Version 1: 21 modules and a quiet zone of four on each side. */
	CU_ASSERT_EQUAL(image.width, (21 + 8) * 3);
	CU_ASSERT_EQUAL(image.height, image.width);
	pixels = iot_alloc(PNG_IMAGE_SIZE(image));
	CU_ASSERT_TRUE(png_image_finish_read(&image, NULL, pixels, 0, NULL) != 0);
#define MODULE(x, y) pixels[((y) + 4) * 3 * (int)image.width + ((x) + 4) * 3]
	for (int i = 0; i < 7; i++) {
		CU_ASSERT_EQUAL(MODULE(i, 0), 0);
		CU_ASSERT_EQUAL(MODULE(20 - i, 0), 0);
		CU_ASSERT_EQUAL(MODULE(0, 20 - i), 0);
	}
	CU_ASSERT_EQUAL(MODULE(1, 1), 255);
	CU_ASSERT_EQUAL(MODULE(-1, -1), 255);
	free(pixels);
}

static void test_what_a_qr_code_cannot_hold(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf png = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	static char text[4001];

	memset(text, 'x', sizeof(text) - 1);
	ASSERT_STATUS(iot_label_qr(text, 3, &png, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_label_qr("", 3, &png, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_label_qr("x", 0, &png, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(png.len, 0);
}

UNIT_MAIN("fleet/station", set_up, tear_down, {"heads", test_recipes_of_heads},
	  {"two kinds", test_numbers_of_two_kinds}, {"recipe", test_recipe}, {"refused", test_recipes_that_are_refused},
	  {"no-board", test_a_kind_of_board_that_is_not_there}, {"ranges", test_ranges},
	  {"list", test_a_list_with_a_number_twice},
	  {"scanned again", test_a_number_that_was_not_taken_is_scanned_again},
	  {"its recipe", test_a_shift_goes_on_with_its_recipe}, {"skipped", test_a_skipped_number_is_in_the_record},
	  {"qr", test_a_qr_code_has_its_corners}, {"qr-limits", test_what_a_qr_code_cannot_hold})
