/* meshsub/dag_cbor.h: strict DAG-CBOR, item by item. A reader over bytes that somebody else owns, and a writer into a buffer.
 *
 *   a5 63 "TTL" 1b… 65 "Value" 58…      msub_cbor_next ▶ MAP, 5 entries ▶ TEXT "TTL" ▶ UINT ▶ TEXT "Value" ▶ BYTES ▶ …
 *
 * What is refused (MALFORMED): heads that are not the shortest, indefinite lengths, tags but 42 (a link: 00 and a binary CID in bytes), floats
 * but finite ones of 64 bits, undefined and other simple values, text that is not UTF-8, lengths and counts beyond the input. A map's keys are
 * checked by msub_cbor_check(): text, none twice.
 * Source: IPLD DAG-CBOR specification, RFC 8949. Nothing here allocates or recurses. Pure: any thread. */
#ifndef MESHSUB_DAG_CBOR_H
#define MESHSUB_DAG_CBOR_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum msub_cbor_type {
  MSUB_CBOR_UINT,  /* n */
  MSUB_CBOR_NINT,  /* -1 - n */
  MSUB_CBOR_BYTES, /* bytes */
  MSUB_CBOR_TEXT,  /* bytes */
  MSUB_CBOR_ARRAY, /* n items follow */
  MSUB_CBOR_MAP,   /* n pairs of a key and a value follow */
  MSUB_CBOR_LINK,  /* bytes: the CID */
  MSUB_CBOR_BOOL,  /* n: 0, 1 */
  MSUB_CBOR_NULL,
  MSUB_CBOR_FLOAT  /* real */
} msub_cbor_type;
typedef struct msub_cbor_item {
  msub_cbor_type type;
  uint64_t n;
  double real;
  msub_bytes bytes; /* a view into the input */
} msub_cbor_item;

#define MSUB_CBOR_DEPTH 64u    /* arrays and maps inside each other */
#define MSUB_CBOR_UNSORTED 32u /* keys of a map whose keys are not in order */

/* Takes one item off the front of *in; of an array or a map its head only. MALFORMED, also when nothing is left: *in is unspecified then. */
MSUB_API int msub_cbor_next(msub_bytes *in, msub_cbor_item *out);
/* Takes one whole item off the front, with all that is in it. MALFORMED: any of it is; a key is no text, or comes twice. LIMIT: deeper than
 * MSUB_CBOR_DEPTH, or more than MSUB_CBOR_UNSORTED keys out of order. sorted: keys have to be in canonical order (shorter ones first, then by
 * their bytes); else any order will do, as stock readers take it. `whole` (may be NULL): the item's bytes. */
MSUB_API int msub_cbor_skip(msub_bytes *in, bool sorted, msub_bytes *whole);
/* OK: the bytes are one such item and nothing else. */
MSUB_API int msub_cbor_check(msub_bytes in, bool sorted);

/* Writing. Nothing is written behind `cap`; n is what all of it takes, so n <= cap says whether it is there. {NULL, 0, 0} counts only. */
typedef struct msub_cbor_out { uint8_t *p; size_t cap, n; } msub_cbor_out;
MSUB_API void msub_cbor_put_uint(msub_cbor_out *o, uint64_t v);
MSUB_API void msub_cbor_put_nint(msub_cbor_out *o, uint64_t n); /* -1 - n */
MSUB_API void msub_cbor_put_bytes(msub_cbor_out *o, msub_bytes b);
MSUB_API void msub_cbor_put_text(msub_cbor_out *o, msub_bytes b); /* UTF-8: not checked */
MSUB_API void msub_cbor_put_array(msub_cbor_out *o, uint64_t items);
MSUB_API void msub_cbor_put_map(msub_cbor_out *o, uint64_t pairs); /* the caller puts keys in canonical order */
MSUB_API void msub_cbor_put_link(msub_cbor_out *o, msub_bytes cid);
MSUB_API void msub_cbor_put_bool(msub_cbor_out *o, bool v);
MSUB_API void msub_cbor_put_null(msub_cbor_out *o);
MSUB_API void msub_cbor_put_float(msub_cbor_out *o, double v); /* finite */
/* The canonical order of two keys: < 0, 0, > 0. */
MSUB_API int msub_cbor_key_order(msub_bytes a, msub_bytes b);

#ifdef __cplusplus
}
#endif
#endif
