/* CSV as people and spreadsheets write it, and as nobody should. */
#include "iotctl/base.h"
#include "iotctl/csv.h"
#include "unit.h"

static const char *const known[] = {"uid", "name", "note", NULL};

static void expect_rows(const char *text, const char *expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *rows = NULL;
	char *json;

	ASSERT_OK(iot_csv_parse(text, strlen(text), "list.csv", known, &rows, &err), &err);
	json = iot_json_text(rows);
	for (char *c = json; c != NULL && *c != '\0'; c++)
		*c = *c == '"' ? '\'' : *c;
	CU_ASSERT_STRING_EQUAL(json, expected);
	if (strcmp(json, expected) != 0)
		fprintf(stderr, "\n%s\n", json);
	free(json);
	json_decref(rows);
}

static void expect_fault(const char *text, size_t len, const char *part)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *rows = NULL;

	ASSERT_STATUS(iot_csv_parse(text, len, "list.csv", known, &rows, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(rows);
	if (strstr(err.what, part) == NULL)
		fprintf(stderr, "\n'%s' is not in '%s'\n", part, err.what);
	ASSERT_CONTAINS(err.what, part);
}

static void test_rows(void)
{
	expect_rows("uid,name\na,b\n", "[{'line':2,'uid':'a','name':'b'}]");
	expect_rows("\xef\xbb\xbfname,uid\r\nb,a\r\n", "[{'line':2,'name':'b','uid':'a'}]");
	expect_rows("uid", "[]");
	expect_rows("uid\n", "[]");
	/* Without an end of the last line, blanks around cells, empty cells and lines. */
	expect_rows("uid , name\n\n a\t,\n,\n  \nc , d", "[{'line':3,'uid':'a'},{'line':6,'uid':'c','name':'d'}]");
	/* What a spreadsheet leaves at the end of short lists, and short rows. */
	expect_rows("uid,name\na\nb,,,\n", "[{'line':2,'uid':'a'},{'line':3,'uid':'b'}]");
	expect_rows("uid\na\rb\n", "[{'line':2,'uid':'a\\rb'}]");
}

static void test_quotes(void)
{
	expect_rows("uid,note\n\"a\",\"x, y\"\n", "[{'line':2,'uid':'a','note':'x, y'}]");
	expect_rows("uid,note\na,\" two\nlines \" \r\nb,c\n",
		    "[{'line':2,'uid':'a','note':' two\\nlines '},{'line':4,'uid':'b','note':'c'}]");
	expect_rows("\"uid\",\"note\"\na,\"\"\nb,\"say \"\"b\"\"\"",
		    "[{'line':2,'uid':'a'},{'line':3,'uid':'b','note':'say \\'b\\''}]");
}

static void test_malformed(void)
{
	static const struct {
		const char *text, *fault;
	} table[] = {
		{"", "'list.csv' is empty"},
		{"uid,nam\n", "'list.csv' line 1: unknown column 'nam'"},
		{"uid,,name\n", "unknown column ''"},
		{"\nuid\n", "unknown column ''"},
		{"uid;name\n", "unknown column 'uid;name'"},
		{"UID\n", "unknown column"},
		{"uid,uid\n", "column 'uid' is there twice"},
		{"uid\na,b\n", "line 2: there are more cells than columns"},
		{"uid\na\n\"b\nc", "line 3: a quote is not closed"},
		{"uid\n\"a\"b\n", "line 2: there is text behind a closing quote"},
		{"uid\na\"b\n", "line 2: a quote in the middle"},
		{"uid\n\xff\n", "line 2: a cell is not UTF-8"},
	};
	char *big = iot_alloc(IOT_CSV_CELL_MAX + 10);

	for (size_t i = 0; i < IOT_LENGTH(table); i++)
		expect_fault(table[i].text, strlen(table[i].text), table[i].fault);
	expect_fault("uid\na\0b\n", 8, "not UTF-8");
	memset(big, 'a', IOT_CSV_CELL_MAX + 9);
	memcpy(big, "uid\n", 4);
	expect_fault(big, IOT_CSV_CELL_MAX + 9, "longer than 4096 bytes");
	free(big);
}

UNIT_MAIN("base/csv", NULL, NULL, {"rows", test_rows}, {"quotes", test_quotes}, {"malformed", test_malformed})
