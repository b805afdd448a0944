/* Disks that fail under Drop, Maildir, Badmail and Pickup: what a sync covers and in
 * which order, and every call failing once. */
#include "faults.h"

#include <errno.h>
#include <sys/stat.h>

#include "folder_dir.h"
#include "postern/drop.h"

static const struct span text = { SPAN_INIT("Subject: hi\r\n\r\nbody\n") };
static const struct span ann = { SPAN_INIT("ann@contoso.test") };

static struct letter
letter(uint64_t qid, const struct span *to)
{
	return (struct letter){
		.qid = qid,
		.sender = SPAN("s@x.test"),
		.recipients = to,
		.n_recipients = 1,
		.body = { .parts = &text, .n_parts = 1, .fd = -1 },
	};
}

/* ---- in which order ---- */

static void
a_drop_file_is_synced_then_named_then_its_folder_synced(void **state)
{
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), &err);
	struct letter l = letter(7, &ann);
	char id[QID_SIZE], want[300];

	(void)state;
	qid_print(7, id);
	(void)snprintf(want, sizeof(want),
			"sync Drop/.%s.tmp\nrename Drop/.%s.tmp Drop/%s.eml\nsync Drop/\n",
			id, id, id);
	faults_begin(folder_dir);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	faults_end();
	assert_string_equal(faults_story(FAULT_SYNCS | FAULT_RENAME), want);
	assert_int_equal(faults_count(FAULT_OPEN), 3);
	drop_close(d);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_drop_file_is_synced_then_named_then_its_folder_synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
