package camera

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// y4mMagic begins a YUV4MPEG2 file, the uncompressed clip format of mjpegtools.
const y4mMagic = "YUV4MPEG2"

// maxLine bounds the header lines of a YUV4MPEG2 file.
const maxLine = 1024

var errY4M = errors.New("not a usable YUV4MPEG2 file")

// y4m describes the frames of a YUV4MPEG2 clip.
type y4m struct {
	w, h  int
	ratio image.YCbCrSubsampleRatio
	mono  bool          // luma alone
	every time.Duration // 0 where the file names no rate
	spans []span        // of the planes, without the frame headers
}

// indexY4M reads the headers of a clip. A last frame that was cut off is left out.
func indexY4M(r io.Reader) (*y4m, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	line, err := headerLine(br)
	if err != nil {
		return nil, err
	}
	clip, err := parseY4M(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return nil, err
	}
	off, size := int64(len(line)), clip.size()
	for {
		line, err := headerLine(br)
		if errors.Is(err, io.EOF) && line == "" {
			return clip, nil
		}
		if err != nil {
			return nil, err
		}
		if line != "FRAME\n" && !strings.HasPrefix(line, "FRAME ") {
			return nil, fmt.Errorf("%w: no frame header at byte %d", errY4M, off)
		}
		off += int64(len(line))
		if n, err := br.Discard(size); n < size {
			if errors.Is(err, io.EOF) {
				return clip, nil
			}
			return nil, fmt.Errorf("read YUV4MPEG2 frame: %w", err)
		}
		clip.spans = append(clip.spans, span{off, size})
		off += int64(size)
	}
}

// headerLine reads up to and with the next line feed.
func headerLine(br *bufio.Reader) (string, error) {
	var line []byte
	for len(line) < maxLine {
		c, err := br.ReadByte()
		if err != nil {
			return string(line), fmt.Errorf("%w: header: %w", errY4M, err)
		}
		if line = append(line, c); c == '\n' {
			return string(line), nil
		}
	}
	return "", fmt.Errorf("%w: header line over %d bytes", errY4M, maxLine)
}

// parseY4M reads the stream header, such as "YUV4MPEG2 W640 H480 F30:1 C420jpeg".
func parseY4M(line string) (*y4m, error) {
	fields := strings.Split(line, " ")
	if fields[0] != y4mMagic {
		return nil, errY4M
	}
	clip := &y4m{ratio: image.YCbCrSubsampleRatio420}
	for _, f := range fields[1:] {
		if f == "" {
			continue
		}
		switch value := f[1:]; f[0] {
		case 'W':
			clip.w = within(value, maxSide)
		case 'H':
			clip.h = within(value, maxSide)
		case 'F':
			clip.every = framePeriod(value)
		case 'C':
			if !clip.setSampling(value) {
				return nil, fmt.Errorf("%w: chroma %q; 8-bit 420, 422, 444 and mono work", errY4M, value)
			}
		}
	}
	if clip.w == 0 || clip.h == 0 {
		return nil, fmt.Errorf("%w: no size of 1 to %d pixels", errY4M, maxSide)
	}
	return clip, nil
}

// setSampling reads the C field. The 420 variants differ in where the chroma
// samples sit, by half a pixel, which is nothing to a face.
func (c *y4m) setSampling(value string) bool {
	switch value {
	case "420", "420jpeg", "420mpeg2", "420paldv":
		c.ratio = image.YCbCrSubsampleRatio420
	case "422":
		c.ratio = image.YCbCrSubsampleRatio422
	case "444":
		c.ratio = image.YCbCrSubsampleRatio444
	case "mono":
		c.mono = true
	default:
		return false
	}
	return true
}

// framePeriod reads a rate such as "30000:1001"; 0 stands for none.
func framePeriod(rate string) time.Duration {
	num, den, _ := strings.Cut(rate, ":")
	n, errN := strconv.ParseUint(num, 10, 31)
	d, errD := strconv.ParseUint(den, 10, 31)
	if errN != nil || errD != nil || n == 0 || d == 0 {
		return 0
	}
	every := time.Duration(d) * time.Second / time.Duration(n)
	if every < time.Second/maxFPS || every > time.Hour {
		return 0
	}
	return every
}

// planes returns the sizes of the luma plane and of one chroma plane.
func (c *y4m) planes() (luma, chroma int) {
	luma = c.w * c.h
	switch {
	case c.mono:
		return luma, 0
	case c.ratio == image.YCbCrSubsampleRatio444:
		return luma, luma
	case c.ratio == image.YCbCrSubsampleRatio422:
		return luma, (c.w + 1) / 2 * c.h
	}
	return luma, (c.w + 1) / 2 * ((c.h + 1) / 2)
}

func (c *y4m) size() int {
	luma, chroma := c.planes()
	return luma + 2*chroma
}

// load reads frame i into the memory of into.
func (c *y4m) load(r io.ReaderAt, i int, into *image.YCbCr) (*image.YCbCr, error) {
	img := Reuse(into, c.w, c.h, c.ratio)
	luma, chroma := c.planes()
	off := c.spans[i].off
	for _, plane := range [][]byte{img.Y[:luma], img.Cb[:chroma], img.Cr[:chroma]} {
		if len(plane) == 0 { // luma alone
			continue
		}
		if _, err := r.ReadAt(plane, off); err != nil {
			return nil, fmt.Errorf("read YUV4MPEG2 frame: %w", err)
		}
		off += int64(len(plane))
	}
	if c.mono {
		neutral(img)
	}
	return img, nil
}

// Y4MReader reads a YUV4MPEG2 stream frame by frame.
type Y4MReader struct {
	clip *y4m
	br   *bufio.Reader
}

// ReadY4M reads the header of a stream.
func ReadY4M(r io.Reader) (*Y4MReader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	line, err := headerLine(br)
	if err != nil {
		return nil, err
	}
	clip, err := parseY4M(strings.TrimSuffix(line, "\n"))
	return &Y4MReader{clip, br}, err
}

// Next reads the planes of a frame into the memory of into. The error at the end
// of the stream is io.EOF.
func (r *Y4MReader) Next(into []byte) ([]byte, error) {
	line, err := headerLine(r.br)
	if err != nil && line == "" && errors.Is(err, io.EOF) {
		return into, io.EOF
	}
	if err == nil && line != "FRAME\n" && !strings.HasPrefix(line, "FRAME ") {
		err = fmt.Errorf("%w: no frame header", errY4M)
	}
	if err != nil {
		return into, err
	}
	size := r.clip.size()
	into = slices.Grow(into[:0], size)[:size]
	_, err = io.ReadFull(r.br, into)
	return into, err
}

// Image is the picture of a frame that Next gave, in the memory of into where
// that fits.
func (r *Y4MReader) Image(b []byte, into *image.YCbCr) (*image.YCbCr, error) {
	one := *r.clip
	one.spans = []span{{0, len(b)}}
	return one.load(bytes.NewReader(b), 0, into)
}
