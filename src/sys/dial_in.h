/* dial_in: what dial.c and dial_cancel.c share. */
#ifndef SYS_DIAL_IN_H
#define SYS_DIAL_IN_H

#include <stdatomic.h>

#include "postern/dial.h"

struct dial_cancel {
	int fd; /* an eventfd: readable when called off */
	atomic_bool called;
};

#endif
