package camera

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Markers of a JPEG stream (ITU-T T.81, table B.1).
const (
	markTEM  = 0x01
	markRST0 = 0xd0
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
)

// maxJPEG is the largest compressed frame of a clip.
const maxJPEG = 16 << 20

// Errors of the JPEG splitter.
var (
	errNoJPEG    = errors.New("no JPEG")
	errTruncated = errors.New("JPEG ends early")
)

// JPEGLen returns the length of the JPEG that b begins with, from SOI to EOI.
// Cameras and loopback drivers put padding behind it, and a transfer that broke
// off lacks the end: that is an error, so that half a picture is never decoded
// as a grey one.
func JPEGLen(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, errTruncated
	}
	if b[0] != 0xff || b[1] != markSOI {
		return 0, errNoJPEG
	}
	for i := 2; ; {
		next, end, err := jpegSegment(b, i)
		if end || err != nil {
			return next, err
		}
		i = next
	}
}

// jpegSegment steps over the marker at i, with its segment and, after SOS, the
// entropy-coded data. end says that it was the last.
func jpegSegment(b []byte, i int) (next int, end bool, err error) {
	if i >= len(b) {
		return 0, false, errTruncated
	}
	if b[i] != 0xff {
		return 0, false, fmt.Errorf("%w: byte %#02x where a marker belongs", errNoJPEG, b[i])
	}
	for i < len(b) && b[i] == 0xff { // fill bytes are allowed before a marker
		i++
	}
	if i+2 > len(b) {
		if i < len(b) && b[i] == markEOI {
			return i + 1, true, nil
		}
		return 0, false, errTruncated
	}
	switch m := b[i]; {
	case m == markEOI:
		return i + 1, true, nil
	case m == markTEM || m >= markRST0 && m < markSOI:
		return i + 1, false, nil
	case m == 0 || m == markSOI:
		return 0, false, fmt.Errorf("%w: marker %#02x inside", errNoJPEG, m)
	case i+3 > len(b):
		return 0, false, errTruncated
	case m == markSOS:
		return scanEnd(b, i+1+int(b[i+1])<<8+int(b[i+2]))
	}
	n := int(b[i+1])<<8 | int(b[i+2])
	if n < 2 {
		return 0, false, fmt.Errorf("%w: segment of %d bytes", errNoJPEG, n)
	}
	return i + 1 + n, false, nil
}

// scanEnd finds the marker that ends entropy-coded data: 0xff followed by
// neither a stuffed zero nor a restart marker.
func scanEnd(b []byte, i int) (next int, end bool, err error) {
	for i < len(b) {
		j := bytes.IndexByte(b[i:], 0xff)
		if j < 0 || i+j+1 >= len(b) {
			break
		}
		i += j
		if m := b[i+1]; m != 0 && m != 0xff && (m < markRST0 || m > markRST0+7) {
			return i, false, nil
		}
		i++
	}
	return 0, false, errTruncated
}

// span is a piece of a file.
type span struct {
	off int64
	n   int
}

// indexMJPEG finds the frames of concatenated JPEGs. Bytes between frames are
// skipped, a last frame that was cut off is left out.
func indexMJPEG(r io.Reader) ([]span, error) {
	var spans []span
	var off int64 // of what the scanner hands to split
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxJPEG)
	sc.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		n, frame, err := splitJPEG(data, atEOF)
		off += int64(n)
		if frame != nil {
			spans = append(spans, span{off - int64(len(frame)), len(frame)})
		}
		return n, frame, err
	})
	for sc.Scan() {
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("split JPEG frames: %w", err)
	}
	return spans, nil
}

// splitJPEG is the bufio.SplitFunc of concatenated JPEGs.
func splitJPEG(data []byte, atEOF bool) (advance int, frame []byte, err error) {
	for at := 0; ; at++ {
		start := bytes.Index(data[at:], []byte{0xff, markSOI})
		if start < 0 {
			if atEOF {
				return len(data), nil, nil
			}
			return max(len(data)-1, 0), nil, nil // the last byte may begin a marker
		}
		at += start
		n, err := JPEGLen(data[at:])
		if err == nil {
			return at + n, data[at : at+n], nil
		}
		if errors.Is(err, errTruncated) && !atEOF {
			return at, nil, nil // ask for more
		}
	}
}
