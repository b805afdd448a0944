/* What a part of the relay may ask of the role it lives in. It gets these functions at birth
 * and calls nothing above itself. All of them return at once; what they start happens after
 * the callback that is running. */
#ifndef POSTERN_PULSE_H
#define POSTERN_PULSE_H

#include "postern/err.h"

struct pulse {
	void *role;
	void (*hurry)(void *role);
	void (*look)(void *role);
	void (*give_up)(void *role, const struct err *e);
};

/* There is work: the next tick comes within a second. */
static inline void
pulse_hurry(const struct pulse *p)
{
	p->hurry(p->role);
}

/* Something ended: perhaps everything has. */
static inline void
pulse_look(const struct pulse *p)
{
	p->look(p->role);
}

/* The role cannot go on. Only the first reason is kept. */
static inline void
pulse_fail(const struct pulse *p, const struct err *e)
{
	p->give_up(p->role, e);
}

#endif
