# libmeshsub-crypto: keys, signatures, envelopes.
if(TARGET meshsub)
  msub_library(meshsub-crypto PARTS crypto validators HIDDEN base LIBS meshsub)
endif()
