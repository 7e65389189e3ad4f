/* The npm build of the TensorFlow Lite C library comes without this header,
 * and go-tflite includes it. These are the four functions go-tflite uses from
 * it; the library exports all of them (TensorFlow Lite 2.9.0). */
#ifndef CYPHERFACE_TENSORFLOW_LITE_C_C_API_EXPERIMENTAL_H_
#define CYPHERFACE_TENSORFLOW_LITE_C_C_API_EXPERIMENTAL_H_

#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/c/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Only ever passed on as a number: the type is not used by name here. */
typedef int32_t TfLiteBuiltinOperator;

TFL_CAPI_EXPORT extern TfLiteStatus TfLiteInterpreterResetVariableTensors(
    TfLiteInterpreter* interpreter);

TFL_CAPI_EXPORT extern void TfLiteInterpreterOptionsAddBuiltinOp(
    TfLiteInterpreterOptions* options, TfLiteBuiltinOperator op,
    const TfLiteRegistration* registration, int32_t min_version,
    int32_t max_version);

TFL_CAPI_EXPORT extern void TfLiteInterpreterOptionsAddCustomOp(
    TfLiteInterpreterOptions* options, const char* name,
    const TfLiteRegistration* registration, int32_t min_version,
    int32_t max_version);

TFL_CAPI_EXPORT extern void TfLiteInterpreterOptionsSetUseNNAPI(
    TfLiteInterpreterOptions* options, bool enable);

#ifdef __cplusplus
}
#endif
#endif
