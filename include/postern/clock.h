/* clock: the time and chance, for wet rooms only. Dry rooms get them as
 * arguments. Any thread may call these. */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Wall time, milliseconds since 1970. May jump: for stamps, never for waits.
 *
 * For tests: POSTERN_CLOCK=FILE has it run ahead by as many milliseconds as the file
 * holds (a number, perhaps negative), which is read at each look. */
int64_t clock_wall_ms(void);
/* Monotonic time, for waits and deadlines. Not comparable between machines or
 * boots; it does not count while the machine sleeps. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* As clock_mono_ms, and it counts while the machine sleeps: how long something really took. */
int64_t clock_boot_ms(void);
/* Processor time of the whole process so far, microseconds. */
int64_t clock_cpu_us(void);
/* n unguessable bytes from the kernel; ends the process when it has none. */
void clock_random(void *p, size_t n);

#endif
