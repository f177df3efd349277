#include "sim.h"
const struct sim_workload sim_io[] = {{NULL, NULL}};
