# libmeshsub-crypto: keys, signatures, envelopes.
if(TARGET meshsub)
  msub_library(meshsub-crypto PARTS crypto HIDDEN base LIBS meshsub)
endif()
