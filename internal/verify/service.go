package verify

import (
	"context"

	"github.com/cypherface/edge/camera"
)

// Service enrols, compares, searches and watches. Make one with New. It is safe
// for concurrent use.
type Service struct{}

// Enrol makes the template of a person. It happens whole or not at all: when an
// image is refused, what was enrolled before stays. The errors are ErrImages,
// ErrUnknownPerson, ErrNoFace, ErrSeveralFaces, ErrLowQuality, ErrOtherFace,
// ErrDuplicate, and those of the store.
func (s *Service) Enrol(ctx context.Context, r EnrolRequest) (Enrolment, error) {
	return Enrolment{}, nil
}

// Verify compares the dominant face of an image with a person (1:1) at the FMR
// of the merchant. No match is a result. The errors are ErrUnknownPerson,
// ErrNotEnrolled, ErrNoFace, ErrSeveralFaces, ErrLowQuality, ErrUnsupported,
// and those of the store.
func (s *Service) Verify(ctx context.Context, r VerifyRequest) (Result, error) {
	return Result{}, nil
}

// Identify searches the dominant face of an image among the people of the
// merchant (1:N). Nobody found is a result. The errors are ErrNoFace,
// ErrSeveralFaces, ErrLowQuality, ErrUnsupported, and those of the store.
func (s *Service) Identify(ctx context.Context, r IdentifyRequest) (Identification, error) {
	return Identification{}, nil
}

// Run watches the frames of a camera until ctx ends or the source does.
func (s *Service) Run(ctx context.Context, src camera.Source, door DoorConfig) error {
	return nil
}
