/* crypto/envelope.h: the limit that writers and readers of envelopes share. */
#ifndef MSUB_CRYPTO_ENVELOPE_H
#define MSUB_CRYPTO_ENVELOPE_H
#include "meshsub/crypto.h"

/* Bytes of an envelope: twice what the reference implementations take in one identify message. */
#define MSUB__ENVELOPE_MAX 16384u
#endif
