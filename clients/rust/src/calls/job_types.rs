//! Job types.

use futures::Stream;
use headway::v1::{
    CreateJobTypeRequest, DeleteJobTypeRequest, GetJobTypeRequest, JobType, ListJobTypesRequest,
    UpdateJobTypeRequest,
};

use crate::{
    Client, Error,
    client::{mask, pages},
    retry::Repeat,
};

/// Types per page.
const PER_PAGE: i32 = 100;

/// The name of a job type.
pub fn job_type_name(id: &str) -> String {
    format!("jobTypes/{id}")
}

impl Client {
    /// Adds a job type, or only checks its definition.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a definition that is none, `ALREADY_EXISTS`.
    pub async fn create_job_type(&self, request: CreateJobTypeRequest) -> Result<JobType, Error> {
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.job_types.create_job_type(request).await
        })
        .await
    }

    /// Changes a job type's definition, if it has the etag that is set.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `NOT_FOUND`, `ABORTED` if it was changed meanwhile,
    /// `FAILED_PRECONDITION` if it comes from a file.
    pub async fn update_job_type(&self, job_type: JobType) -> Result<JobType, Error> {
        let request = UpdateJobTypeRequest {
            job_type: Some(job_type),
            update_mask: mask(&["definition"]),
            ..UpdateJobTypeRequest::default()
        };
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.job_types.update_job_type(request).await
        })
        .await
    }

    /// Reads a job type, by its name `jobTypes/{type}`.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_job_type(&self, name: &str) -> Result<JobType, Error> {
        let name = name.to_owned();
        let request = GetJobTypeRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.job_types.get_job_type(request).await
        })
        .await
    }

    /// Reads the job types of all pages, by name, one page at a time as they are taken. Ends after
    /// the first error.
    pub fn job_types(&self) -> impl Stream<Item = Result<JobType, Error>> + Send + 'static {
        let client = self.clone();
        pages(String::new(), move |page_token| {
            let client = client.clone();
            let request = ListJobTypesRequest {
                page_size: PER_PAGE,
                page_token,
            };
            async move {
                let page = client
                    .call(Repeat::Harmless, request, |mut stubs, request| async move {
                        stubs.job_types.list_job_types(request).await
                    })
                    .await?;
                Ok((page.job_types, page.next_page_token))
            }
        })
    }

    /// Removes a job type; its jobs stay.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` if it comes from a file.
    pub async fn delete_job_type(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let request = DeleteJobTypeRequest {
            name,
            ..DeleteJobTypeRequest::default()
        };
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.job_types.delete_job_type(request).await
        })
        .await
    }
}
