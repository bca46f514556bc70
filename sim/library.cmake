# libmeshsub-sim: engines under virtual time.
if(TARGET meshsub)
  msub_library(meshsub-sim PARTS sim HIDDEN base LIBS meshsub)
endif()
