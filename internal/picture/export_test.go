package picture

import "image"

// DecodeBoth decodes a JPEG with either decoder.
func DecodeBoth(b []byte) (turbo, standard image.Image, turboErr, standardErr error) {
	h, err := readHeader(b)
	if err != nil {
		return nil, nil, err, err
	}
	turbo, turboErr = decodeTurbo(b, h, nil)
	standard, standardErr = decodeStandard(b, h)
	return
}
