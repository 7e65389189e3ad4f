// Package accuracy measures how often a chain of detection, alignment and
// embedding errs on a set of labelled images, in the terms of ISO/IEC 19795-1
// and of NIST's face recognition tests.
//
// A measurement goes in three steps. [ReadPairs] reads which images show the
// same person. [Collect] turns every image into a template, on as many cores
// as asked for; an image that gives none is a failure to enrol. [Measure] then
// compares: the pairs of the file that show one person are the mates, and every
// two images of different people are an impostor comparison, so that a few
// thousand images support a false match rate of one in a million.
//
//	FMR   false match rate: impostor comparisons that reach the threshold
//	FNMR  false non-match rate: mates that don't; a mate with an image that
//	      could not be enrolled never does
//	EER   equal error rate: the least that both rates can be held to at once
//	FPIR  false positive identification rate: strangers who find somebody
//	FNIR  false negative identification rate: enrolled people who don't find
//	      themselves in first place above the threshold
//
// [Identify] does the open-set search, [ByGroup] splits a measurement by
// groups of people or of images, [DET] draws the trade-off, [Calibrate] writes
// down scores and their error rates for a pack. [Stress] and [Light] turn
// portraits into what a camera at a door sees.
//
// The package finds no faces itself and reads no files: the caller hands in a
// function from an image's name to its template.
package accuracy
