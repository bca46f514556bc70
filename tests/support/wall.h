/* tests/support/wall.h: the wall clock of a test program: the real one and `wall_off`, in seconds. It replaces libc's clock_gettime() in the
 * program, libraries that it links statically included. */
#ifndef MSUB_TESTS_WALL_H
#define MSUB_TESTS_WALL_H
#include <stdint.h>

extern int64_t wall_off;
#endif
