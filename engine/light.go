package engine

// shade corrects uneven light on an aligned face.
type shade struct{}

// shading measures the light on a face; nil where nothing needs correction.
func (r *raster) shading(landmarks [5]Point, t similarity, side int) *shade { return nil }

// correct returns the luma of pixel (u, v) of the aligned face as even light
// would have it.
func (s *shade) correct(luma float32, u, v int) float32 { return luma }
