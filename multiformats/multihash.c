#include "multiformats/multihash.h"
#include "multiformats/varint.h"

int msub__multihash_take(msub_bytes *in, msub__multihash *out) {
  uint64_t n;
  if (!msub__uvarint_take(in, &out->code) || !msub__uvarint_take(in, &n)) return MSUB_ERR_MALFORMED;
  if (n > in->n || n > MSUB__MH_DIGEST_MAX) return MSUB_ERR_MALFORMED;
  if (out->code == MSUB__MH_SHA2_256 && n != 32) return MSUB_ERR_MALFORMED;
  out->digest = (msub_bytes){ in->p, (size_t)n };
  *in = (msub_bytes){ in->p + n, in->n - (size_t)n };
  return MSUB_OK;
}

int msub__multihash_parse(msub_bytes in, msub__multihash *out) {
  int rc = msub__multihash_take(&in, out);
  return rc == MSUB_OK && in.n > 0 ? MSUB_ERR_MALFORMED : rc;
}
