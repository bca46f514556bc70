/* tests/vectors/vectors.h: what the vector runners share: loading, hex, counting, the closing line. */
#ifndef MSUB_TESTS_VECTORS_H
#define MSUB_TESTS_VECTORS_H
#include <jansson.h>
#include "meshsub/base.h"

/* The file `name` below $MESHSUB_VECTORS, or below this folder of the source tree. Ends the program when it
 * cannot be read. */
json_t *vec_load(const char *name);

/* The bytes of a hex string in a block of exactly their size, so that a sanitizer sees every byte read beyond
 * them. NULL and anything that is no string of hex ends the program. Freed by vec_free(). */
msub_bytes vec_bytes(const json_t *hex);
void vec_free(msub_bytes b);
/* A JSON string of the bytes in hex. */
json_t *vec_hex(msub_bytes b);

typedef struct vec_tally {
  const char *file;
  unsigned cases, equal, by_rule, skipped;
} vec_tally;
/* One case is done; ok false prints its name and what went wrong (printf). */
__attribute__((format(printf, 4, 5))) void vec_case(vec_tally *t, const json_t *c, bool ok, const char *fmt,
                                                    ...);
/* Prints the closing line; the exit status. */
int vec_end(const vec_tally *t);
#endif
