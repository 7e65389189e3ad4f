package picture

import "encoding/binary"

var exifMagic = []byte("Exif\x00\x00")

// tagOrientation is the EXIF tag that says how the camera was held.
const tagOrientation = 0x0112

// orientation reads the orientation, 1..8, from the TIFF structure of an EXIF
// segment (TIFF 6.0, section 2; EXIF 2.3, 4.6.4). Whatever is wrong with it, or
// nothing at all, means 1: upright.
func orientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	first := uint64(order.Uint32(tiff[4:]))
	if first+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[first+2:]
	for n := order.Uint16(tiff[first:]); n > 0 && len(entries) >= 12; n-- {
		const short = 3
		if order.Uint16(entries) == tagOrientation {
			v := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == 1 && v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}
