/* The n-th step of a statement fails. For executables linked with --wrap=sqlite3_step;
 * included once in each. */
#ifndef TESTS_STORE_STEPS_H
#define TESTS_STORE_STEPS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

int __real_sqlite3_step(sqlite3_stmt *st);
int __wrap_sqlite3_step(sqlite3_stmt *st);

static struct {
	unsigned fail_at, n; /* 0: none fails */
	unsigned times; /* so many in a row; 0: all that come */
	unsigned again; /* and this one; 0: no other */
	bool struck;
	int code;
} steps;

int
__wrap_sqlite3_step(sqlite3_stmt *st)
{
	/* Taking back needs neither room nor the disk. */
	if (steps.times != 1 && strncmp(sqlite3_sql(st), "ROLLBACK", 8) == 0)
		return __real_sqlite3_step(st);
	steps.n++;
	bool in_a_row = steps.n >= steps.fail_at &&
			(steps.times == 0 || steps.n < steps.fail_at + steps.times);
	if (steps.fail_at == 0 || (!in_a_row && steps.n != steps.again))
		return __real_sqlite3_step(st);
	steps.struck = true;
	return steps.code;
}

static inline void
steps_fail(unsigned at, unsigned times, int code)
{
	steps.fail_at = at;
	steps.n = 0;
	steps.times = times;
	steps.again = 0;
	steps.struck = false;
	steps.code = code;
}

/* No more; has one failed? */
static inline bool
steps_end(void)
{
	steps.fail_at = 0;
	return steps.struck;
}

#endif
