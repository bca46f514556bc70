/* host/book_value.h: what stands in the store of one peer of the book: bytes to values and back, without looking at a clock or a key.
 *
 *   key     "peer/" and the peer id
 *   value   version (1) │ network: length (0, 4 or 16), bytes │ number of addresses │ address … │ signed record as it came, or nothing
 *   address flags (1 WebSocket, 2 it stands in the record, 4 the peer says so, 8 proved) │ length (4 or 16), bytes │ port │
 *           for 4 and for 8: until when, ns since 1970                                                  numbers big endian, signed where times are
 *
 * One meaning has one form: what is read and written again is the same bytes. */
#ifndef MSUB_HOST_BOOK_VALUE_H
#define MSUB_HOST_BOOK_VALUE_H
#include "host/state.h"

#define MSUB__BOOK_PREFIX "peer/"
#define MSUB__BOOK_KEY_MAX (sizeof MSUB__BOOK_PREFIX - 1 + MSUB_PEER_ID_MAX)
#define MSUB__BOOK_VALUE_MAX (3u + 16u + MSUB__HOST_BOOK_ADDRS * (2u + 16u + 2u + 16u) + MSUB__HOST_BOOK_RECORD)

typedef struct msub__book_value {
  msub_peer_id id;
  msub__tr_addr from; /* the network whose bits are set, without a port; n == 0: none */
  msub_bytes record;  /* a view; empty: none */
  unsigned n;         /* 1 … MSUB__HOST_BOOK_ADDRS */
  struct {
    msub__tr_addr at;
    bool is_signed, said, proved; /* said or proved; signed only if said and there is a record */
    int64_t said_until, proved_until;
  } addrs[MSUB__HOST_BOOK_ADDRS];
} msub__book_value;

/* false: these bytes are no entry. The record is not verified. */
bool msub__book_value_read(msub_bytes key, msub_bytes value, msub__book_value *out);
/* Lengths of what is written. */
size_t msub__book_value_key(const msub_peer_id *id, uint8_t out[MSUB__BOOK_KEY_MAX]);
size_t msub__book_value_write(const msub__book_value *v, uint8_t out[MSUB__BOOK_VALUE_MAX]);
#endif
