# libmeshsub-lww: IPNS names and records.
if(TARGET meshsub-crypto)
  msub_library(meshsub-lww PARTS lww HIDDEN base LIBS meshsub meshsub-crypto)
endif()
