package liveness

import (
	"cmp"
	"math"
	"slices"

	"github.com/cypherface/edge/engine"
)

// offset is where a point lies against the eyes: along the line through them from
// their middle, and square to it, in eye distances. It does not change when the face
// as a whole moves, comes closer or leans.
func offset(f *engine.Face, p engine.Point) engine.Point {
	r, l := f.Keypoints[engine.RightEye], f.Keypoints[engine.LeftEye]
	dx, dy := l.X-r.X, l.Y-r.Y
	square := dx*dx + dy*dy
	if square < 1 {
		return engine.Point{}
	}
	x, y := p.X-(r.X+l.X)/2, p.Y-(r.Y+l.Y)/2
	return engine.Point{X: (x*dx + y*dy) / square, Y: (y*dx - x*dy) / square}
}

// yaw is how far the nose tip lies from the middle of the eyes, in eye distances:
// positive to the right of the image, which is the person's left.
func yaw(f *engine.Face) float64 { return offset(f, f.Keypoints[engine.NoseTip]).X }

// Yaw is how far a face is turned: where the nose tip lies from the middle of the
// eyes, in eye distances, positive to the person's own left. 0.1 is straight still,
// from 0.16 on a head counts as turned.
func Yaw(f *engine.Face) float64 { return yaw(f) }

// pitch is how far a face looks up, on a scale on which a clear nod is 1: the mean of
// how high the nose tip lies between mouth and eyes, by the detector's points and by
// those for alignment, and how low the ears lie against the eyes. Only differences of
// it mean something.
func pitch(f *engine.Face) float64 {
	nose, mouth := offset(f, f.Keypoints[engine.NoseTip]), offset(f, f.Keypoints[engine.MouthCenter])
	ears := offset(f, f.Keypoints[engine.RightEar]).Y + offset(f, f.Keypoints[engine.LeftEar]).Y
	l := f.Landmarks
	eyes, corners := (l[0].Y+l[1].Y)/2, (l[3].Y+l[4].Y)/2
	return -(nose.Y/max(mouth.Y, .1)/.075 - ears/2/.15 + (l[2].Y-eyes)/max(corners-eyes, 1)/.085) / 3
}

// protrusion is how far the nose tip lies beside the mouth, along the eye line, in
// eye distances.
func protrusion(f *engine.Face) float64 {
	return offset(f, f.Keypoints[engine.NoseTip]).X - offset(f, f.Keypoints[engine.MouthCenter]).X
}

// ridge is the same by the points for alignment, the mouth's middle between its
// corners, in sizes of the face: a turned face has its eyes close together.
func ridge(f *engine.Face) float64 {
	l := &f.Landmarks
	dx, dy := l[1].X-l[0].X, l[1].Y-l[0].Y
	x, y := l[2].X-(l[3].X+l[4].X)/2, l[2].Y-(l[3].Y+l[4].Y)/2
	return (x*dx + y*dy) / max(math.Hypot(dx, dy), 1) / size(f)
}

// size is how large a face is in the picture, whatever way it looks: the greater of
// the distances between the eyes and from them to the mouth, in pixels.
func size(f *engine.Face) float64 {
	_, half, _, _ := frameOf(*f)
	return half * 2 / windowReach
}

// series takes a measure of all frames.
func series(frames []Frame, of func(*engine.Face) float64) []float64 {
	out := make([]float64, len(frames))
	for i := range frames {
		out[i] = of(&frames[i].Face)
	}
	return out
}

// span is the range of a series without its single highest and lowest values,
// where there are enough.
func span(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	t := slices.Sorted(slices.Values(s))
	if len(t) >= 6 {
		t = t[1 : len(t)-1]
	}
	return t[len(t)-1] - t[0]
}

func median(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[len(s)/2]
}

// quantile is the value below which a share of the series lies.
func quantile(s []float64, q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[int(q*float64(len(s)-1)+.5)]
}

// trackPoints is the number of points that are followed: the detector's and those
// for alignment.
const trackPoints = 11

func points(f *engine.Face) (p [trackPoints]engine.Point) {
	copy(p[:], f.Keypoints[:])
	copy(p[6:], f.Landmarks[:])
	return p
}

// upright brings the points to a common middle, size and lean.
func upright(f *engine.Face) [trackPoints]engine.Point {
	p := points(f)
	var c engine.Point
	for _, q := range p {
		c.X, c.Y = c.X+q.X/trackPoints, c.Y+q.Y/trackPoints
	}
	norm := 0.0
	for i := range p {
		p[i].X, p[i].Y = p[i].X-c.X, p[i].Y-c.Y
		norm += p[i].X*p[i].X + p[i].Y*p[i].Y
	}
	_, _, sin, cos := frameOf(*f)
	k := 1 / math.Sqrt(max(norm/trackPoints, 1e-9))
	for i, q := range p {
		p[i] = engine.Point{X: k * (cos*q.X + sin*q.Y), Y: k * (cos*q.Y - sin*q.X)}
	}
	return p
}

// third is the third singular value of the matrix of the upright tracks, per point
// and frame: what is left when the best plane is taken out, since the views of a
// plane have rank two (Tomasi and Kanade, "Shape and motion from image streams under
// orthography", 1992).
func third(frames []Frame) float64 {
	var gram [trackPoints][trackPoints]float64
	for i := range frames {
		p := upright(&frames[i].Face)
		for a := range p {
			for b := range p {
				gram[a][b] += p[a].X*p[b].X + p[a].Y*p[b].Y
			}
		}
	}
	values := eigenvalues(&gram)
	return math.Sqrt(max(values[2], 0) / float64(max(1, len(frames))*trackPoints))
}

// eigenvalues of a symmetric matrix, the largest first, by Jacobi's rotations. The
// matrix is destroyed.
func eigenvalues(m *[trackPoints][trackPoints]float64) [trackPoints]float64 {
	for range 12 {
		for p := range trackPoints {
			for q := p + 1; q < trackPoints; q++ {
				if math.Abs(m[p][q]) < 1e-12 {
					continue
				}
				theta := (m[q][q] - m[p][p]) / (2 * m[p][q])
				t := 1 / (math.Abs(theta) + math.Sqrt(theta*theta+1))
				if theta < 0 {
					t = -t
				}
				c := 1 / math.Sqrt(t*t+1)
				s := t * c
				for k := range trackPoints {
					m[k][p], m[k][q] = c*m[k][p]-s*m[k][q], s*m[k][p]+c*m[k][q]
				}
				for k := range trackPoints {
					m[p][k], m[q][k] = c*m[p][k]-s*m[q][k], s*m[p][k]+c*m[q][k]
				}
			}
		}
	}
	var out [trackPoints]float64
	for i := range out {
		out[i] = m[i][i]
	}
	slices.SortFunc(out[:], func(a, b float64) int { return cmp.Compare(b, a) })
	return out
}

// bend is how badly an affine map brings the points of a straight face to those of
// others: the upper quartile over the frames, in shares of the face's spread. Every
// view of a plane from afar is an affine map of it.
func bend(frames []Frame) float64 {
	straight := upright(&frames[straightest(frames)].Face)
	var all []float64
	for i := range frames {
		p := upright(&frames[i].Face)
		all = append(all, affineResidual(&straight, &p))
	}
	return quantile(all, .75)
}

// straightest is the frame that looks most into the camera.
func straightest(frames []Frame) int {
	level := median(series(frames, pitch))
	best, at := math.Inf(1), 0
	for i := range frames {
		if d := math.Abs(yaw(&frames[i].Face)) + .07*math.Abs(pitch(&frames[i].Face)-level); d < best {
			best, at = d, i
		}
	}
	return at
}

// affineResidual is the root mean square distance that the best affine map leaves.
// Both sets of points have their middle at the origin.
func affineResidual(from, to *[trackPoints]engine.Point) float64 {
	var xx, xy, yy, xu, yu, xv, yv float64
	for i, p := range from {
		q := to[i]
		xx, xy, yy = xx+p.X*p.X, xy+p.X*p.Y, yy+p.Y*p.Y
		xu, yu, xv, yv = xu+p.X*q.X, yu+p.Y*q.X, xv+p.X*q.Y, yv+p.Y*q.Y
	}
	det := xx*yy - xy*xy
	if det < 1e-9 {
		return 0
	}
	a, b := (xu*yy-yu*xy)/det, (yu*xx-xu*xy)/det
	c, d := (xv*yy-yv*xy)/det, (yv*xx-xv*xy)/det
	sum := 0.0
	for i, p := range from {
		q := to[i]
		u, v := q.X-a*p.X-b*p.Y, q.Y-c*p.X-d*p.Y
		sum += u*u + v*v
	}
	return math.Sqrt(sum / trackPoints)
}
