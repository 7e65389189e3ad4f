//go:build cgo

package scan

/*
#cgo CFLAGS: -O3
#include "dot.h"
*/
import "C"

import "unsafe"

// dot writes the products of each row with probe to out. Rows and probe are
// padded to a multiple of lane.
func dot(out, rows, probe []float32) {
	if len(out) == 0 || len(rows) < len(out)*len(probe) {
		return
	}
	C.cf_dot((*C.float)(unsafe.Pointer(&out[0])), (*C.float)(unsafe.Pointer(&rows[0])),
		(*C.float)(unsafe.Pointer(&probe[0])), C.int(len(out)), C.int(len(probe)))
}

// sum adds up numbers that are a multiple of lane.
func sum(v []float32) float32 {
	if len(v) == 0 {
		return 0
	}
	return float32(C.cf_sum((*C.float)(unsafe.Pointer(&v[0])), C.long(len(v))))
}
