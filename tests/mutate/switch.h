/* switch: a fault that was planted in the source, and is on when its number is chosen.
 *
 * All faults are compiled into one program: POSTERN_MUTANT=N turns one on, and
 * POSTERN_REACHED=FILE (one octet for each fault) tells which were passed by. */
#ifndef MUTATE_SWITCH_H
#define MUTATE_SWITCH_H

extern int mutate_chosen; /* 0: none */
extern unsigned char *mutate_reached; /* or NULL */
extern int mutate_count;

static inline int
mutate_on(int n)
{
	if (__builtin_expect(mutate_reached && n < mutate_count, 0))
		mutate_reached[n] = 1;
	return __builtin_expect(mutate_chosen == n, 0);
}

#endif
