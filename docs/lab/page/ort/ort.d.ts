export * from "onnxruntime-web"; // the build puts the module itself beside this
